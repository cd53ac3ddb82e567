// The emoji that people can choose, with their names in the language of the person. The data come from our own address.

import Database from "emoji-picker-element/database";
import type { Emoji, NativeEmoji } from "emoji-picker-element/shared";
import english from "emoji-picker-element-data/en/emojibase/data.json?url";
import french from "emoji-picker-element-data/fr/emojibase/data.json?url";

import { language } from "../words";

const SOURCES = { en: english, fr: french } satisfies Record<typeof language.value, string>;

export const source = () => ({ locale: language.value, dataSource: SOURCES[language.value] });

let database: Database | undefined;

const isNative = (emoji: Emoji): emoji is NativeEmoji => "unicode" in emoji;

/** Emoji whose name begins like this, the best first. */
export async function findEmoji(query: string, most: number): Promise<{ sign: string; name: string }[]> {
    database ??= new Database(source());
    const [exact, found, tone] = await Promise.all([
        database.getEmojiByShortcode(query),
        database.getEmojiBySearchQuery(query),
        database.getPreferredSkinTone(),
    ]);
    const all = [...(exact ? [exact] : []), ...found].filter(isNative);
    const unique = [...new Map(all.map((emoji) => [emoji.unicode, emoji])).values()];
    return unique.slice(0, most).map((emoji) => ({
        sign: emoji.skins?.find((skin) => skin.tone === tone)?.unicode ?? emoji.unicode,
        name: emoji.annotation,
    }));
}
