// What this browser remembers of what it has told a person about encryption.

interface Kept {
    /** When encryption was first set up here, in milliseconds since the Unix epoch. */
    since?: number;
    /** Whether an encrypted message was sent or read here. */
    isUsed?: boolean;
    /** The device of which the server tells others that it is the person's. */
    publishedDevice?: string;
    /** Until when the person does not want to be reminded. */
    quietUntil?: number;
    /** The recovery key that was made here, and that nobody has said they have kept. */
    unsavedKey?: string;
}

const nameOf = (userId: string) => `linkspan.encryption.${userId}`;

export function kept(userId: string): Kept {
    return JSON.parse(localStorage.getItem(nameOf(userId)) ?? "{}") as Kept;
}

export function keep(userId: string, changes: Kept): void {
    localStorage.setItem(nameOf(userId), JSON.stringify({ ...kept(userId), ...changes }));
}
