// Says of what somebody has asked for that it did not work, where nothing else on the screen would. Answers whether it did.

import { notify } from "../ui/notice";
import { words } from "../words";

export async function tried(asked: Promise<unknown>): Promise<boolean> {
    try {
        await asked;
        return true;
    } catch (error) {
        console.warn(error);
        notify({ text: words("encryption.failed") });
        return false;
    }
}
