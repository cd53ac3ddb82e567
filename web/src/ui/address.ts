// Parts of addresses, which anybody may have written.

/** A part of an address as it reads, or as it is if it cannot be decoded. */
export function decoded(part: string): string {
    try {
        return decodeURIComponent(part);
    } catch {
        return part;
    }
}
