// The mark of a platform: a small round sign that says where a person is, without shouting it.

import { neighbours, platformName } from "../platform";
import { Icon } from "./icon";

/** The mark of a server's platform. Its name is said to screen readers, and shown when somebody points at it. */
export function PlatformMark({ server }: { server: string }) {
    const neighbour = neighbours.value.find(({ server_name }) => server_name === server);
    const name = platformName(server);
    return (
        <span class="platform-mark" role="img" aria-label={name} title={name} style={{ "--mark": neighbour?.colour }}>
            {neighbour ? neighbour.name.slice(0, 1) : <Icon name="elsewhere" />}
        </span>
    );
}
