// Whether the server is well and why not; what of the platform has failed; who talks to whom; and what is limited.

import { neighbours } from "../platform";
import { Icon } from "../ui/icon";
import { PartTitle } from "../ui/pane";
import { PlatformMark } from "../ui/platform-mark";
import { clock, day } from "../ui/time";
import { ask } from "./api";
import { Empty, Loaded, useLoad } from "./load";
import { bytes, count, rate } from "./numbers";
import { Facts, Frame } from "./page";
import { type ConsoleWordsId, words } from "./words";

interface Sent {
    sent: number;
    failed: number;
}

interface HealthNow {
    version: string;
    ts: number | null;
    started_ts: number | null;
    live: boolean;
    ready: boolean;
    reasons: string[];
    mails: Sent;
    sms: Sent;
    pushes: Sent;
    pushers_waiting: number;
    refused: Record<string, number>;
}

interface Conversations {
    conversations: { server_name: string; name: string; sent: number; received: number }[];
    own: number;
}

interface LimitsNow {
    rate_limits: boolean;
    limits: Record<string, number>;
}

/** How often the page looks again, in milliseconds. */
const EVERY_MS = 10_000;

export function Health() {
    const health = useLoad("health", () => ask<HealthNow>("GET", "/health"), EVERY_MS);
    const conversations = useLoad("conversations", () => ask<Conversations>("GET", "/conversations"), EVERY_MS);
    const limits = useLoad("limits", () => ask<LimitsNow>("GET", "/limits"));
    return (
        <Frame title={words("health")} isRead>
            <Loaded load={health}>
                {(now) => (
                    <>
                        <State of={now} />
                        <Deliveries of={now} />
                    </>
                )}
            </Loaded>
            <section>
                <PartTitle>{words("conversations")}</PartTitle>
                <p class="hint">{words("conversations.hint")}</p>
                <Loaded load={conversations}>{(told) => <Between told={told} />}</Loaded>
            </section>
            <section>
                <PartTitle>{words("limits")}</PartTitle>
                <Loaded load={limits}>{(told) => <Limits told={told} />}</Loaded>
            </section>
        </Frame>
    );
}

const REASONS: Record<string, ConsoleWordsId> = {
    starting: "health.starting",
    stopping: "health.stopping",
    store_failed: "health.store_failed",
    store_lags: "health.store_lags",
    uploads_stop: "health.uploads_stop",
    writes_stop: "health.writes_stop",
};

function State({ of }: { of: HealthNow }) {
    const isWell = of.live && of.ready && of.reasons.length === 0;
    const since = of.started_ts === null ? null : words("day_and_time", { day: day(of.started_ts), time: clock(of.started_ts) });
    return (
        <section>
            <div class="state" data-well={isWell || undefined} role="status">
                <Icon name={isWell ? "verified" : "failed"} />
                <div>
                    <b>{words(isWell ? "health.well" : of.ready ? "health.strained" : "health.not_ready")}</b>
                    {of.reasons.map((reason) => (
                        <p key={reason}>{REASONS[reason] ? words(REASONS[reason]) : reason}</p>
                    ))}
                </div>
            </div>
            <Facts
                facts={[
                    [words("health.since"), since],
                    [words("health.version"), of.version],
                ]}
            />
        </section>
    );
}

/** What each class of actions is called that can be done too often. */
const CLASSES: Record<string, ConsoleWordsId> = {
    read: "class.read",
    message: "class.message",
    login: "class.login",
    guess: "class.guess",
    registration: "class.registration",
    join: "class.join",
    invite: "class.invite",
    create_room: "class.create_room",
    rooms_of_day: "class.rooms_of_day",
    search: "class.search",
    upload: "class.upload",
    typing: "class.typing",
    report: "class.report",
    strangers: "class.strangers",
    export: "class.export",
    other: "class.other",
};

function Deliveries({ of }: { of: HealthNow }) {
    const refused = Object.entries(of.refused);
    const rows: [string, Sent][] = [
        [words("health.pushes"), of.pushes],
        [words("health.mails"), of.mails],
        [words("health.sms"), of.sms],
    ];
    return (
        <>
            <section>
                <PartTitle>{words("health.deliveries")}</PartTitle>
                <table class="figures">
                    <thead>
                        <tr>
                            <th scope="col">{words("health.what")}</th>
                            <th scope="col">{words("health.sent")}</th>
                            <th scope="col">{words("health.failed")}</th>
                        </tr>
                    </thead>
                    <tbody>
                        {rows.map(([name, { sent, failed }]) => (
                            <tr key={name}>
                                <th scope="row">{name}</th>
                                <td>{count(sent)}</td>
                                <td data-bad={failed > 0 || undefined}>{count(failed)}</td>
                            </tr>
                        ))}
                    </tbody>
                </table>
            </section>
            <section>
                <PartTitle>{words("health.refused")}</PartTitle>
                <p class="hint">{words("health.refused.hint")}</p>
                {refused.length === 0 ? (
                    <p>{words("health.refused.none")}</p>
                ) : (
                    <Facts facts={refused.map(([name, number]) => [CLASSES[name] ? words(CLASSES[name]) : name, count(number)])} />
                )}
            </section>
        </>
    );
}

function Between({ told }: { told: Conversations }) {
    if (told.conversations.length === 0) return <Empty text={words("conversations.none")} />;
    return (
        <table class="figures">
            <thead>
                <tr>
                    <th scope="col">{words("conversations.platform")}</th>
                    <th scope="col">{words("conversations.sent")}</th>
                    <th scope="col">{words("conversations.received")}</th>
                </tr>
            </thead>
            <tbody>
                {told.conversations.map(({ server_name, name, sent, received }) => (
                    <tr key={server_name}>
                        <th scope="row">
                            <span class="person">
                                {neighbours.value.some((neighbour) => neighbour.server_name === server_name) && <PlatformMark server={server_name} />}
                                {name}
                            </span>
                        </th>
                        <td>{count(sent)}</td>
                        <td>{count(received)}</td>
                    </tr>
                ))}
            </tbody>
        </table>
    );
}

/** Rates have a burst beside them. */
function Limits({ told }: { told: LimitsNow }) {
    const { limits } = told;
    const names = Object.keys(limits).filter((name) => !name.endsWith("_burst"));
    const rates = names.filter((name) => `${name}_burst` in limits);
    const quotas = names.filter((name) => !rates.includes(name));
    const known = (name: string) => (LIMITS[name] ? words(LIMITS[name]) : name);
    return (
        <>
            <table class="figures">
                <thead>
                    <tr>
                        <th scope="col">{words("limits.quota")}</th>
                        <th scope="col">{words("limits.value")}</th>
                    </tr>
                </thead>
                <tbody>
                    {quotas.map((name) => (
                        <tr key={name}>
                            <th scope="row">{known(name)}</th>
                            <td>{writeLimit(name, limits[name]!)}</td>
                        </tr>
                    ))}
                </tbody>
            </table>
            {told.rate_limits ? (
                <table class="figures">
                    <thead>
                        <tr>
                            <th scope="col">{words("limits.rate")}</th>
                            <th scope="col">{words("limits.per_second")}</th>
                            <th scope="col">{words("limits.burst")}</th>
                        </tr>
                    </thead>
                    <tbody>
                        {rates.map((name) => (
                            <tr key={name}>
                                <th scope="row">{CLASSES[name] ? words(CLASSES[name]) : name}</th>
                                <td>{limits[name]! < 1 ? words("limits.every", { seconds: rate(1 / limits[name]!) }) : rate(limits[name]!)}</td>
                                <td>{count(limits[`${name}_burst`]!)}</td>
                            </tr>
                        ))}
                    </tbody>
                </table>
            ) : (
                <p class="hint">{words("limits.no_rates")}</p>
            )}
        </>
    );
}

/** What the quotas are called. Those that are not here are shown by their names in the configuration. */
const LIMITS: Record<string, ConsoleWordsId> = {
    password_guesses_per_day: "limit.password_guesses_per_day",
    rooms_created_per_day: "limit.rooms_created_per_day",
    joined_rooms: "limit.joined_rooms",
    exports_per_day: "limit.exports_per_day",
    codes_of_network: "limit.codes_of_network",
    codes_of_range: "limit.codes_of_range",
    codes_of_platform: "limit.codes_of_platform",
    strangers_per_day: "limit.strangers_per_day",
    strangers_per_day_max: "limit.strangers_per_day_max",
    strangers_of_platform: "limit.strangers_of_platform",
    unanswered_messages: "limit.unanswered_messages",
    unanswered_bytes: "limit.unanswered_bytes",
    upload_bytes: "limit.upload_bytes",
    media_quota_bytes: "limit.media_quota_bytes",
    account_data_bytes: "limit.account_data_bytes",
    key_backup_bytes: "limit.key_backup_bytes",
};

function writeLimit(name: string, value: number): string {
    if (name.endsWith("_bytes")) return bytes(value);
    return value === 0 ? words("limits.none") : count(value);
}
