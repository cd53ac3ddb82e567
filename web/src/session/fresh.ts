// What was typed or handed out at the log-in of a moment ago, and what a session before it has left. It is in memory only, until encryption is set up with it.

export const fresh: {
    /** The password, which the server may ask for when keys are published for the first time. */
    password?: Owned | undefined;
    /** The recovery key of a demo account. */
    recoveryKey?: Owned | undefined;
    /** Keys of messages, as the library exports them, from a session that the server has ended before it could back them up. */
    roomKeys?: Owned | undefined;
} = {};

/** A secret, and whose it is. */
interface Owned {
    userId: string;
    secret: string;
}

/** The secret of this kind, if there is one that is this account's. */
export function freshOf(kind: keyof typeof fresh, userId: string): string | undefined {
    const known = fresh[kind];
    return known?.userId === userId ? known.secret : undefined;
}

/** Forgets the secret of this kind, once this account needs it no more. */
export function forgetFresh(kind: keyof typeof fresh, userId: string): void {
    if (fresh[kind]?.userId === userId) fresh[kind] = undefined;
}
