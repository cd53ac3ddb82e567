// The person's devices, for the settings.

import "./encryption.css";

import type { IMyDevice, MatrixClient } from "matrix-js-sdk";
import { useEffect, useRef, useState } from "preact/hooks";

import { Cancelled, withProof } from "../session/prove";
import { perAccount } from "../session/session";
import { logOut } from "../sync/leave";
import { client } from "../sync/running";
import { Dialog } from "../ui/dialog";
import { Field } from "../ui/fields";
import { Icon } from "../ui/icon";
import { Menu, type MenuItem } from "../ui/menu";
import { notify } from "../ui/notice";
import { PartTitle } from "../ui/pane";
import { day } from "../ui/time";
import { words } from "../words";
import { opened } from "./opened";
import { standing } from "./standing";
import { tried } from "./tried";

interface Device {
    id: string;
    name: string;
    lastSeen: number;
    isHere: boolean;
    /** Whether the person has confirmed it. Nothing for devices that do not encrypt. */
    isConfirmed: boolean | undefined;
}

const devices = perAccount<Device[] | undefined>(undefined);

async function load(running: MatrixClient): Promise<void> {
    const own = running.getSafeUserId();
    const crypto = running.getCrypto();
    const [{ devices: listed }, keys] = await Promise.all([running.getDevices(), crypto?.getUserDeviceInfo([own], true)]);
    const known = keys?.get(own);
    const shown = listed.filter(({ device_id }) => !known?.get(device_id)?.dehydrated);
    const all = await Promise.all(shown.map((device) => describe(running, device)));
    if (client.peek() !== running) return;
    devices.value = all.sort((one, other) => Number(other.isHere) - Number(one.isHere) || other.lastSeen - one.lastSeen);
}

async function describe(running: MatrixClient, { device_id, display_name, last_seen_ts }: IMyDevice): Promise<Device> {
    const status = await running.getCrypto()?.getDeviceVerificationStatus(running.getSafeUserId(), device_id);
    return {
        id: device_id,
        name: display_name || words("devices.unnamed"),
        lastSeen: last_seen_ts ?? 0,
        isHere: device_id === running.getDeviceId(),
        isConfirmed: status ? status.crossSigningVerified : undefined,
    };
}

export default function Devices() {
    const running = client.value;
    const [renamed, setRenamed] = useState<Device>();
    const [isFailed, setFailed] = useState(false);
    useEffect(() => {
        if (running) load(running).then(() => setFailed(false), () => setFailed(true));
    }, [running, standing.value]);
    if (!running) return null;
    if (isFailed && !devices.value) return <p role="alert">{words("encryption.offline")}</p>;
    const all = devices.value ?? [];
    const here = all.filter(({ isHere }) => isHere);
    const others = all.filter(({ isHere }) => !isHere);
    const end = (ids: string[]) => void tried(signOut(running, ids));
    return (
        <div class="devices">
            <PartTitle>{words("devices.here")}</PartTitle>
            <List devices={here} rename={setRenamed} end={() => void logOut()} />
            {others.length > 0 && (
                <>
                    <PartTitle>{words("devices.others")}</PartTitle>
                    <List devices={others} rename={setRenamed} end={(device) => end([device.id])} />
                    <button class="danger" onClick={() => end(others.map(({ id }) => id))}>
                        {words("devices.end.others")}
                    </button>
                </>
            )}
            {renamed && <Rename device={renamed} close={() => setRenamed(undefined)} />}
        </div>
    );
}

interface ListProps {
    devices: Device[];
    rename: (device: Device) => void;
    end: (device: Device) => void;
}

function List({ devices, rename, end }: ListProps) {
    return (
        <ul class="devices-list">
            {devices.map((device) => (
                <Item key={device.id} device={device} rename={() => rename(device)} end={() => end(device)} />
            ))}
        </ul>
    );
}

function Item({ device, rename, end }: { device: Device; rename: () => void; end: () => void }) {
    const [isOpen, setOpen] = useState(false);
    const button = useRef<HTMLButtonElement>(null);
    const items: MenuItem[] = [{ label: words("devices.rename"), icon: "edit", run: rename }];
    if (device.isConfirmed === false) items.push({ label: words("devices.confirm"), icon: "verified", run: () => void tried(confirm(device)) });
    items.push({ label: words("devices.end"), icon: "log_out", isDanger: true, run: end });
    return (
        <li>
            <Icon name="device" />
            <span class="devices-what">
                <b dir="auto">{device.name}</b>
                <small>
                    {device.isHere ? words("devices.now") : device.lastSeen > 0 && words("devices.seen", { day: day(device.lastSeen) })}
                </small>
                <State isConfirmed={device.isConfirmed} />
            </span>
            <button ref={button} class="icon-button" aria-label={words("devices.more", { name: device.name })} onClick={() => setOpen(true)}>
                <Icon name="more" />
            </button>
            {isOpen && <Menu anchor={button.current!} label={device.name} items={items} close={() => setOpen(false)} />}
        </li>
    );
}

function State({ isConfirmed }: { isConfirmed: boolean | undefined }) {
    if (isConfirmed === undefined) return <small>{words("devices.plain")}</small>;
    return (
        <small class="devices-state" data-confirmed={isConfirmed || undefined}>
            <Icon name={isConfirmed ? "verified" : "failed"} />
            {words(isConfirmed ? "devices.confirmed" : "devices.unconfirmed")}
        </small>
    );
}

/** Confirms this device, or another one from this one. */
async function confirm(device: Device): Promise<void> {
    const running = client.peek();
    if (!running) return;
    if (device.isHere || !standing.peek()?.isConfirmed) {
        opened.value = { kind: "confirm" };
        return;
    }
    const request = await running.getCrypto()!.requestDeviceVerification(running.getSafeUserId(), device.id);
    opened.value = { kind: "request", request };
}

async function signOut(running: MatrixClient, ids: string[]): Promise<void> {
    try {
        await withProof((auth) => running.deleteMultipleDevices(ids, auth));
        notify({ text: words("devices.ended", { count: ids.length }) });
    } catch (error) {
        if (!(error instanceof Cancelled)) notify({ text: words("encryption.failed") });
    }
    await load(running);
}

function Rename({ device, close }: { device: Device; close: () => void }) {
    const running = client.value!;
    const submit = async (event: SubmitEvent) => {
        event.preventDefault();
        const name = String(new FormData(event.currentTarget as HTMLFormElement).get("name")).trim();
        await running.setDeviceDetails(device.id, { display_name: name }).catch(() => notify({ text: words("encryption.failed") }));
        close();
        await tried(load(running));
    };
    return (
        <Dialog
            title={words("devices.rename")}
            close={close}
            actions={
                <button class="primary" form="device-name">
                    {words("devices.rename.go")}
                </button>
            }
        >
            <form id="device-name" onSubmit={submit}>
                <Field label={words("devices.name")}>
                    <input name="name" defaultValue={device.name} maxLength={100} required dir="auto" />
                </Field>
            </form>
        </Dialog>
    );
}
