// Addresses of pictures, as events of others name them.

/** The `mxc:` address that a field of an event has, if it has one: whoever has sent the event can have written anything there. */
export function mxcIn(field: unknown): string | undefined {
    return typeof field === "string" && field.startsWith("mxc://") ? field : undefined;
}
