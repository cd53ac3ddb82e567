// Roles as people understand them. Rooms have numbers: whoever has a greater one may do more.

import type { MatrixClient, Room, RoomMember } from "matrix-js-sdk";

import type { WordsId } from "../words";

export type Role = "owner" | "admin" | "member";

/** What a role has at least, and is given. */
export const LEVELS: Record<Role, number> = { owner: 100, admin: 50, member: 0 };

export const ROLE_WORDS: Record<Role, WordsId> = { owner: "group.owner", admin: "group.admin", member: "group.member" };

export function roleOfLevel(level: number): Role {
    return level >= LEVELS.owner ? "owner" : level >= LEVELS.admin ? "admin" : "member";
}

export const roleOf = (member: RoomMember): Role => roleOfLevel(member.powerLevel);

export interface PowerLevels {
    users_default?: number;
    events_default?: number;
    state_default?: number;
    invite?: number;
    kick?: number;
    ban?: number;
    events?: Record<string, number>;
}

export function levelsOf(room: Room): PowerLevels {
    return (room.currentState.getStateEvents("m.room.power_levels", "")?.getContent() ?? {}) as PowerLevels;
}

/** What the person may do in a chat. */
export class Rights {
    readonly #own: number;
    readonly #levels: PowerLevels;

    constructor(
        client: MatrixClient,
        readonly room: Room,
    ) {
        this.#own = room.getMember(client.getSafeUserId())?.powerLevel ?? 0;
        this.#levels = levelsOf(room);
    }

    get mayInvite(): boolean {
        return this.#own >= (this.#levels.invite ?? 0);
    }

    /** Whether the person may remove somebody, which needs to be above them, too. */
    mayRemove(member: RoomMember): boolean {
        return this.#own >= (this.#levels.kick ?? LEVELS.admin) && this.#own > member.powerLevel;
    }

    mayBan(member: RoomMember): boolean {
        return this.#own >= (this.#levels.ban ?? LEVELS.admin) && this.#own > member.powerLevel;
    }

    /** Whether the person may set a state event of this type. */
    maySet(type: string): boolean {
        return this.#own >= (this.#levels.events?.[type] ?? this.#levels.state_default ?? LEVELS.admin);
    }

    /** Whether the person may give somebody this role: none above their own, and only to those below them. */
    mayGive(member: RoomMember, role: Role): boolean {
        return this.maySet("m.room.power_levels") && this.#own > member.powerLevel && this.#own >= LEVELS[role];
    }
}
