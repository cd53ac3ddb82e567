// Whether somebody's codes were compared, and doing it, for the details of the chat with them.

import "./encryption.css";

import { useEffect, useState } from "preact/hooks";

import { client } from "../sync/running";
import { Icon } from "../ui/icon";
import { words } from "../words";
import { compared, lookAtPerson } from "./identities";
import VerifyDialog from "./verify";

export default function Trust({ userId, name }: { userId: string; name: string }) {
    const here = client.value;
    const [isComparing, setComparing] = useState(false);
    useEffect(() => {
        if (here) lookAtPerson(here, userId).catch((error: unknown) => console.info("whose keys these are is not known", error));
    }, [here, userId]);
    if (!here) return null;
    return (
        <>
            {compared.value.has(userId) ? (
                <p class="fact">
                    <Icon name="verified" />
                    {words("encryption.trust.yes", { name })}
                </p>
            ) : (
                <button class="secondary" onClick={() => setComparing(true)}>
                    {words("encryption.trust.compare")}
                </button>
            )}
            {isComparing && <VerifyDialog userId={userId} close={() => setComparing(false)} />}
        </>
    );
}
