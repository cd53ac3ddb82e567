// What people choose and type with: switches, choices among a few, and single lines.

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface SwitchProps {
    label: string;
    hint?: string;
    isOn: boolean;
    isDisabled?: boolean;
    change: (isOn: boolean) => void;
}

/** Something that is on or off, and changes at once. */
export function Switch({ label, hint, isOn, isDisabled, change }: SwitchProps) {
    const id = useId();
    return (
        <label class="switch">
            <span>
                {label}
                {hint && <small id={id}>{hint}</small>}
            </span>
            <input
                type="checkbox"
                role="switch"
                checked={isOn}
                disabled={isDisabled}
                aria-describedby={hint && id}
                onChange={(event) => change(event.currentTarget.checked)}
            />
        </label>
    );
}

interface ChoiceProps<Value extends string> {
    label: string;
    value: Value;
    options: readonly { value: Value; label: string; hint?: string }[];
    change: (value: Value) => void;
}

/** One of a few, all of which are seen. */
export function Choice<Value extends string>({ label, value, options, change }: ChoiceProps<Value>) {
    const name = useId();
    return (
        <fieldset class="choice">
            <legend>{label}</legend>
            {options.map((option) => (
                <label key={option.value}>
                    <input type="radio" name={name} checked={option.value === value} onChange={() => change(option.value)} />
                    <span>
                        {option.label}
                        {option.hint && <small>{option.hint}</small>}
                    </span>
                </label>
            ))}
        </fieldset>
    );
}

/** A single line with its label above and what is wrong with it below. */
export function Field({ label, error, children }: { label: string; error?: string | undefined; children: ComponentChildren }) {
    return (
        <label class="field">
            <span>{label}</span>
            {children}
            {error && <small role="alert">{error}</small>}
        </label>
    );
}
