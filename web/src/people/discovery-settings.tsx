// Who finds the person, and by what.

import "./people.css";

import { useEffect, useState } from "preact/hooks";

import { platform } from "../platform";
import { ask, done } from "../sync/ask";
import { Choice } from "../ui/fields";
import { words } from "../words";

const FIELDS = ["handle", "phone", "email", "name"] as const;
const AUDIENCES = ["everyone", "platform", "contacts", "nobody"] as const;

type Audience = (typeof AUDIENCES)[number];
type Chosen = Partial<Record<(typeof FIELDS)[number], Audience>>;

interface Discovery {
    own: Chosen;
    platform: Chosen;
}

export default function DiscoverySettings() {
    const [discovery, setDiscovery] = useState<Discovery>();
    useEffect(() => {
        ask<Discovery>("GET", "/discovery").then(setDiscovery, console.warn);
    }, []);
    if (!discovery) return <p class="hint">{words("connecting")}</p>;
    const set = async (field: keyof Chosen, audience: Audience) => {
        const own = { ...discovery.own, [field]: audience };
        setDiscovery({ ...discovery, own });
        if (!(await done(ask("PUT", "/discovery", own)))) setDiscovery(discovery);
    };
    const name = platform.value?.name;
    const options = AUDIENCES.map((value) => ({ value, label: words(`discovery.${value}`, { platform: name }) }));
    const isAccount = platform.value?.identity === "account";
    return (
        <div class="form">
            <p class="hint">{words("discovery.hint")}</p>
            {FIELDS.filter((field) => field in discovery.platform).map((field) => (
                <Choice
                    key={field}
                    label={words(field === "handle" && isAccount ? "discovery.by.username" : `discovery.by.${field}`)}
                    value={discovery.own[field] ?? discovery.platform[field]!}
                    options={options}
                    change={(audience) => void set(field, audience)}
                />
            ))}
        </div>
    );
}
