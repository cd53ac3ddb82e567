// The name, the picture and the topic of a group.

import { useState } from "preact/hooks";
import { useLocation } from "wouter-preact";

import { chosenPicture, uploadPicture } from "../settings/picture";
import { done } from "../sync/ask";
import { Avatar } from "../ui/avatar";
import { Field } from "../ui/fields";
import { words } from "../words";
import type { Followed } from "./follow";

export function EditGroup({ chat: { there, room } }: { chat: Followed }) {
    const [, go] = useLocation();
    const said = room.currentState.getStateEvents("m.room.topic", "")?.getContent().topic as unknown;
    const topicNow = typeof said === "string" ? said : "";
    const [name, setName] = useState(room.name);
    const [topic, setTopic] = useState(topicNow);
    const [isRunning, setIsRunning] = useState(false);
    const setPicture = async (file: File | undefined) => {
        const picture = file && (await chosenPicture(file));
        if (!picture) return;
        setIsRunning(true);
        const send = (url: string) => there.sendStateEvent(room.roomId, "m.room.avatar" as never, { url } as never, "");
        await done(uploadPicture(there, picture).then(send));
        setIsRunning(false);
    };
    const save = async (event: Event) => {
        event.preventDefault();
        setIsRunning(true);
        const changes = [
            ...(name.trim() !== room.name ? [there.setRoomName(room.roomId, name.trim())] : []),
            ...(topic.trim() !== topicNow ? [there.setRoomTopic(room.roomId, topic.trim())] : []),
        ];
        const isSaved = await done(Promise.all(changes));
        setIsRunning(false);
        if (isSaved) go(`/chat/${encodeURIComponent(room.roomId)}/details`);
    };
    return (
        <form class="pane-body form" onSubmit={(event) => void save(event)}>
            <label class="new-picture">
                <Avatar id={room.roomId} name={room.name} mxc={room.getMxcAvatarUrl() ?? undefined} size={72} />
                <span>{words("group.picture.change")}</span>
                <input class="only-said" type="file" accept="image/*" onChange={(event) => void setPicture(event.currentTarget.files?.[0])} />
            </label>
            <Field label={words("group.name")}>
                <input value={name} maxLength={100} dir="auto" required onInput={(event) => setName(event.currentTarget.value)} />
            </Field>
            <Field label={words("group.topic")}>
                <textarea rows={3} maxLength={1000} dir="auto" value={topic} onInput={(event) => setTopic(event.currentTarget.value)} />
            </Field>
            <button class="primary" disabled={!name.trim() || isRunning}>
                {words("save")}
            </button>
        </form>
    );
}
