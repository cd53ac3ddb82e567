// What was typed or handed out at the log-in of a moment ago, and what a session before it has left. It is in memory only, until encryption is set up with it.

export const fresh: {
    /** The password, which the server may ask for when keys are published for the first time. */
    password?: string | undefined;
    /** The recovery key of a demo account. */
    recoveryKey?: string | undefined;
    /** Keys of messages, as the library exports them, from a session that the server has ended before it could back them up. */
    roomKeys?: { userId: string; exported: string } | undefined;
} = {};
