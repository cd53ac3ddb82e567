// What lies over the rest of the window: menus and dialogs. The keys that are pressed in them are theirs.

/** Whether a key is none of what lies below: it has done something already, or was pressed in a menu or a dialog. */
export function isForAbove(event: KeyboardEvent): boolean {
    return event.defaultPrevented || (event.target as Element).closest("[popover], dialog, [role=dialog]") !== null;
}
