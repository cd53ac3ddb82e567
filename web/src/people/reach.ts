// Who may reach the person. Of all rules that fit somebody, the last one holds; the person's own come after the platform's.

export type Outcome = "straight" | "request" | "ignored" | "refused";

export interface Rule {
    source?: "own_platform" | "hosted_platform" | "other_server";
    server?: string;
    relation?: "contact" | "common_room" | "stranger";
    kind?: "direct_chat" | "group" | "call";
    reach: Outcome;
}

/** Somebody who wants something: a rule without what follows. */
export type Approach = Omit<Rule, "reach">;

const FIELDS = ["source", "server", "relation", "kind"] as const;

/** What becomes of an approach. */
export function reachOf(rules: Rule[], approach: Approach): Outcome | undefined {
    return rules.findLast((rule) => FIELDS.every((field) => rule[field] === undefined || rule[field] === approach[field]))?.reach;
}

/** The rules with one for just this in place of those that were there for it. */
export function withRule(rules: Rule[], rule: Rule): Rule[] {
    const others = rules.filter((other) => FIELDS.some((field) => other[field] !== rule[field]));
    return [...others, rule];
}
