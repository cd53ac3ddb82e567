// How the platform is used now and was in the last hour.

import { Bones, Failed } from "./load";
import { bytes, count, milliseconds, rate } from "./numbers";
import { Frame } from "./page";
import { Plot } from "./plot";
import { type Statistics, type Totals, useStatistics } from "./statistics";
import { words } from "./words";

export function Overview() {
    const { statistics, error, again } = useStatistics();
    return (
        <Frame title={words("overview")}>
            {error && <Failed error={error} again={again} />}
            {!statistics && !error && <Bones />}
            {statistics && (
                <>
                    {statistics.totals && <TotalsOf totals={statistics.totals} />}
                    {statistics.ts.length === 0 ? <p class="hint">{words("overview.begins")}</p> : <Plots of={statistics} />}
                </>
            )}
        </Frame>
    );
}

function TotalsOf({ totals }: { totals: Totals }) {
    const shown: [string, string][] = [
        [words("overview.accounts"), count(totals.accounts)],
        [words("overview.devices"), count(totals.devices)],
        [words("overview.rooms"), count(totals.rooms)],
        [words("overview.media"), bytes(totals.media_bytes)],
    ];
    return (
        <dl class="totals">
            {shown.map(([name, value]) => (
                <div key={name}>
                    <dt>{name}</dt>
                    <dd>{value}</dd>
                </div>
            ))}
        </dl>
    );
}

const MIB = 1 << 20;

function Plots({ of }: { of: Statistics }) {
    const half = words("plot.p50");
    const nearlyAll = words("plot.p99");
    return (
        <div class="plots">
            <Plot title={words("plot.messages")} times={of.ts} lines={[{ values: of.messages_per_second }]} write={rate} atLeast={1} />
            <Plot title={words("plot.syncs")} times={of.ts} lines={[{ values: of.syncs_waiting }]} write={count} atLeast={5} />
            <Plot
                title={words("plot.send")}
                times={of.ts}
                lines={[
                    { name: half, values: of.send_ms.p50 },
                    { name: nearlyAll, values: of.send_ms.p99 },
                ]}
                write={milliseconds}
                atLeast={10}
            />
            <Plot
                title={words("plot.sync")}
                times={of.ts}
                lines={[
                    { name: half, values: of.sync_ms.p50 },
                    { name: nearlyAll, values: of.sync_ms.p99 },
                ]}
                write={milliseconds}
                atLeast={10}
            />
            <Plot title={words("plot.requests")} times={of.ts} lines={[{ values: of.requests_per_second }]} write={rate} atLeast={5} />
            <Plot title={words("plot.queue")} times={of.ts} lines={[{ values: of.commits_waiting }]} write={count} atLeast={5} />
            <Plot title={words("plot.memory")} hint={words("plot.shared")} times={of.ts} lines={[{ values: of.memory_bytes }]} write={bytes} atLeast={100 * MIB} />
            <Plot
                title={words("plot.disk")}
                hint={words("plot.shared")}
                times={of.ts}
                lines={[{ values: of.disk_free_bytes }]}
                write={bytes}
                atLeast={1}
                atMost={of.disk_bytes ?? undefined}
            />
        </div>
    );
}
