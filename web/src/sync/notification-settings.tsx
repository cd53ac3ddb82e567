// Notifications, for the settings. The browser is asked when the person wants them, and never before.

import { useEffect, useState } from "preact/hooks";

import { Switch } from "../ui/fields";
import { notify } from "../ui/notice";
import { words } from "../words";
import { client } from "./running";
import { choose, chosen, push, silence } from "./notifications";
import { canPush } from "./subscription";

export default function NotificationSettings() {
    const running = client.value;
    const how = chosen.value;
    const [permission, setPermission] = useState(() => ("Notification" in window ? Notification.permission : undefined));
    const [mayPush, setMayPush] = useState<boolean>();
    useEffect(() => {
        if (running) canPush(running).then(setMayPush, () => undefined);
    }, [running]);
    if (!running) return null;
    if (!permission) return <p>{words("notifications.no")}</p>;
    const isOn = how !== undefined && permission === "granted";
    const change = async (isWanted: boolean) => {
        if (!isWanted) return silence(running);
        const answer = await Notification.requestPermission();
        setPermission(answer);
        if (answer === "granted") await choose(running, {});
    };
    return (
        <div>
            <Switch
                label={words("notifications.on")}
                hint={permission === "default" ? words("notifications.ask.hint") : undefined}
                isOn={isOn}
                isDisabled={permission === "denied"}
                change={(isWanted) => void change(isWanted)}
            />
            {permission === "denied" && <p role="alert">{words("notifications.blocked")}</p>}
            {isOn && (
                <>
                    <Switch
                        label={words("notifications.preview")}
                        hint={words("notifications.preview.hint")}
                        isOn={how.hasPreview}
                        change={(hasPreview) => void choose(running, { hasPreview })}
                    />
                    <Switch
                        label={words("notifications.closed")}
                        hint={words(mayPush === false ? "notifications.closed.no" : "notifications.closed.hint")}
                        isOn={how.hasPush}
                        isDisabled={!mayPush}
                        change={(isWanted) => push(running, isWanted).catch(() => notify({ text: words("encryption.failed") }))}
                    />
                    <Switch label={words("notifications.sound")} isOn={how.hasSound} change={(hasSound) => void choose(running, { hasSound })} />
                </>
            )}
        </div>
    );
}
