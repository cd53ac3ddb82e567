// When the list of blocked people was changed, here or on another device.

import { signal } from "@preact/signals";

/** Rises with each change, so that whoever shows whether somebody is blocked is drawn again. */
export const blockChanges = signal(0);
