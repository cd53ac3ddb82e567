// What the messages of an open chat share: the chat itself, and what is open on it.

import { createContext } from "preact";
import { useContext } from "preact/hooks";

import type { Message } from "./message";
import type { Timeline } from "./timeline";

export interface OpenChat {
    timeline: Timeline;
    /** Opens what one can do with the messages of a row, beside an element. */
    openMenu: (messages: Message[], anchor: Element) => void;
    openPicture: (eventId: string) => void;
    openInfo: (messages: Message[]) => void;
    pickReaction: (message: Message, anchor: Element) => void;
    /** Shows a message. `from` is the one that led there, to which one comes back first. */
    goTo: (eventId: string, from?: string) => void;
    openThread: (eventId: string) => void;
    reply: (message: Message) => void;
}

export const OpenChatContext = createContext<OpenChat | undefined>(undefined);

export function useOpenChat(): OpenChat {
    const open = useContext(OpenChatContext);
    if (!open) throw new Error("there is no open chat");
    return open;
}

/** Whether an element is in the row that Tab leads to. In a chat that is one row; anything elsewhere counts as in one. */
export const IsInCurrentRow = createContext(true);

/** The `tabIndex` of what can be pressed in a row: Tab leads to the current row, and then to what is in it. */
export const useTabIndex = () => (useContext(IsInCurrentRow) ? 0 : -1);
