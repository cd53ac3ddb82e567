// Signing up and logging in by an address and a code that is sent to it. Which of both it is shows when the code is there.

import { useRef, useState } from "preact/hooks";

import { platform } from "../platform";
import { Field } from "../ui/fields";
import { later } from "../ui/later";
import { words, type WordsId } from "../words";
import { useAttempt } from "./attempt";
import { CodeRequest, type Entry, logInBy, register } from "./server";

const PhoneFields = later(() => import("./phone-fields"));

type Step = "address" | "code" | Exclude<Entry, "entered">;

const ADDRESS_ERRORS: Record<string, WordsId> = {
    M_INVALID_PARAM: "session.address.wrong",
    M_THREEPID_DENIED: "session.address.denied",
};

export function ByCode({ usePassword }: { usePassword: () => void }) {
    const [step, setStep] = useState<Step>("address");
    const [shown, setShown] = useState("");
    // What goes wrong in a step is said below its field.
    const { error, isWaiting, setError, run } = useAttempt();
    const request = useRef<CodeRequest>();

    const goOn = async (password?: string) => {
        const entry = await logInBy(request.current!.proof, password);
        if (entry !== "entered") setStep(entry);
    };
    const send = (made: CodeRequest, said: string) =>
        run(ADDRESS_ERRORS, async () => {
            request.current = made;
            await made.send();
            setShown(said);
            setStep("code");
        });
    const enter = (code: string) =>
        run({ M_THREEPID_AUTH_FAILED: "session.code.old" }, async () => {
            if (await request.current!.enter(code)) await goOn();
            else setError("session.code.wrong");
        });
    const again = () => {
        setError(undefined);
        setStep("address");
    };

    const props = { error, isWaiting };
    switch (step) {
        case "address":
            return <AddressStep {...props} send={(made, said) => void send(made, said)} usePassword={usePassword} />;
        case "code":
            return (
                <CodeStep
                    {...props}
                    address={shown}
                    enter={(code) => void enter(code)}
                    resend={() => void run(ADDRESS_ERRORS, () => request.current!.send())}
                    again={again}
                />
            );
        case "second-step":
            return (
                <SecondStep
                    {...props}
                    enter={(password) => void run({ M_FORBIDDEN: "session.password.wrong" }, () => goOn(password))}
                    again={again}
                />
            );
        case "new":
            return (
                <NameStep
                    {...props}
                    enter={(name, token) => void run(NEW_ERRORS, () => registerAs(name, token, request.current!))}
                />
            );
    }
}

const NEW_ERRORS: Record<string, WordsId> = {
    M_FORBIDDEN: "session.registration_closed",
    M_UNAUTHORIZED: "session.token.wrong",
    M_THREEPID_AUTH_FAILED: "session.code.old",
};

interface StepProps {
    error: WordsId | undefined;
    isWaiting: boolean;
}

interface AddressProps extends StepProps {
    send: (request: CodeRequest, said: string) => void;
    usePassword: () => void;
}

function AddressStep({ error, isWaiting, send, usePassword }: AddressProps) {
    const { identity, name } = platform.value!;
    const submit = (event: SubmitEvent) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget as HTMLFormElement);
        const address = String(form.get("address")).trim();
        const country = String(form.get("country") ?? "");
        send(new CodeRequest(identity === "phone" ? { phone_number: address, country } : { email: address }), address);
    };
    return (
        <form class="way" onSubmit={submit}>
            <h2>{words("session.enter.title", { name })}</h2>
            <p class="hint">{words(`session.enter.hint.${identity === "phone" ? "phone" : "account"}`)}</p>
            {identity === "phone" ? (
                <PhoneFields error={error} />
            ) : (
                <Field label={words("session.email")} error={error && words(error)}>
                    <input name="address" type="email" autocomplete="email" required />
                </Field>
            )}
            <button class="primary" disabled={isWaiting}>
                {words("session.next")}
            </button>
            <p class="aside">
                <button type="button" class="link" onClick={usePassword}>
                    {words("session.use_password")}
                </button>
            </p>
        </form>
    );
}

interface CodeProps extends StepProps {
    address: string;
    enter: (code: string) => void;
    resend: () => void;
    again: () => void;
}

const CODE_LENGTH = 6;

function CodeStep({ error, isWaiting, address, enter, resend, again }: CodeProps) {
    const [code, setCode] = useState("");
    const type = (text: string) => {
        const digits = text.replace(/\D/g, "").slice(0, CODE_LENGTH);
        setCode(digits);
        if (digits.length === CODE_LENGTH && digits !== code) enter(digits);
    };
    return (
        <form
            class="way"
            onSubmit={(event) => {
                event.preventDefault();
                enter(code);
            }}
        >
            <h2>{words("session.code.title")}</h2>
            <p class="hint">
                {words("session.code.hint")} <bdi>{address}</bdi>
            </p>
            <Field label={words("session.code")} error={error && words(error)}>
                <input
                    class="code"
                    inputMode="numeric"
                    autocomplete="one-time-code"
                    dir="ltr"
                    autofocus
                    required
                    value={code}
                    onInput={(event) => type(event.currentTarget.value)}
                />
            </Field>
            <button class="primary" disabled={isWaiting || code.length < CODE_LENGTH}>
                {words("session.next")}
            </button>
            <p class="aside">
                <button type="button" class="link" disabled={isWaiting} onClick={resend}>
                    {words("session.code.resend")}
                </button>
                <button type="button" class="link" onClick={again}>
                    {words("session.code.change")}
                </button>
            </p>
        </form>
    );
}

function SecondStep({ error, isWaiting, enter, again }: StepProps & { enter: (password: string) => void; again: () => void }) {
    const submit = (event: SubmitEvent) => {
        event.preventDefault();
        enter(String(new FormData(event.currentTarget as HTMLFormElement).get("password")));
    };
    return (
        <form class="way" onSubmit={submit}>
            <h2>{words("session.second.title")}</h2>
            <p class="hint">{words("session.second.hint")}</p>
            <Field label={words("session.password")} error={error && words(error)}>
                <input name="password" type="password" autocomplete="current-password" autofocus required />
            </Field>
            <button class="primary" disabled={isWaiting}>
                {words("session.log_in")}
            </button>
            <p class="aside">
                <button type="button" class="link" onClick={again}>
                    {words("session.code.change")}
                </button>
            </p>
        </form>
    );
}

function NameStep({ error, isWaiting, enter }: StepProps & { enter: (name: string, token?: string) => void }) {
    const { name: platformName, registration } = platform.value!;
    if (registration === "closed") return <p class="way hint">{words("session.closed", { name: platformName })}</p>;
    const submit = (event: SubmitEvent) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget as HTMLFormElement);
        enter(String(form.get("name")).trim(), form.get("token")?.toString().trim());
    };
    return (
        <form class="way" onSubmit={submit}>
            <h2>{words("session.new.title")}</h2>
            <p class="hint">{words("session.new.hint", { name: platformName })}</p>
            <Field label={words("session.your_name")} error={error && words(error)}>
                <input name="name" autocomplete="name" maxLength={100} autofocus required />
            </Field>
            {registration === "token" && (
                <Field label={words("session.token")}>
                    <input name="token" autocomplete="off" required />
                </Field>
            )}
            <button class="primary" disabled={isWaiting}>
                {words("session.sign_up")}
            </button>
        </form>
    );
}

/** Registers whoever has proved an address. People see the name; what the user id begins with, where it is not made up by the
 * server, follows from the name and is seen by nobody. */
async function registerAs(displayName: string, token: string | undefined, request: CodeRequest): Promise<void> {
    const { proof } = request;
    const username = proof.medium === "msisdn" ? displayName : localpartFrom(displayName);
    await register({ username, displayName, token, proof });
}

function localpartFrom(name: string): string {
    const plain = name.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, ".").replace(/^\.+|\.+$/g, "").slice(0, 40);
    const made = crypto.getRandomValues(new Uint32Array(1))[0]!.toString(36).slice(0, 5);
    return [plain, made].filter(Boolean).join(".");
}
