// Somebody in a line: the id, and the platform if it is another.

import { isOfOtherPlatform, serverOf } from "../platform";
import { PlatformMark } from "../ui/platform-mark";
import { shownId } from "./api";

export function Person({ userId }: { userId: string }) {
    return (
        <span class="person">
            <bdi>{shownId(userId)}</bdi>
            {isOfOtherPlatform(userId) && <PlatformMark server={serverOf(userId)} />}
        </span>
    );
}
