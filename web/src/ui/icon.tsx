// Icons of Lucide, as elements of the page.

import {
    Archive, ArrowDown, ArrowLeft, Ban, Bell, BellOff, Check, CheckCheck, ChevronDown, ChevronRight, Clock, Copy, Download, Ellipsis,
    File, Forward, Globe, Image, Info, Link, Lock, LockOpen, LogOut, MapPin, MessageCircle, MessagesSquare, Mic, Monitor, Paperclip, Pause,
    Pencil, Pin, Play, Plus, Reply, Search, SendHorizontal, Settings, ShieldCheck, Smile, SquarePen, Star, Timer, Trash2,
    TriangleAlert, User, UserPlus, Users, Video, Vote, X, type IconNode,
} from "lucide";
import { h } from "preact";

const ICONS = {
    add: Plus,
    archive: Archive,
    attach: Paperclip,
    back: ArrowLeft,
    bell: Bell,
    block: Ban,
    camera: Video,
    chats: MessagesSquare,
    clock: Clock,
    close: X,
    compose: SquarePen,
    copy: Copy,
    delete: Trash2,
    device: Monitor,
    down: ArrowDown,
    download: Download,
    edit: Pencil,
    elsewhere: Globe,
    emoji: Smile,
    failed: TriangleAlert,
    file: File,
    forward: Forward,
    group: Users,
    info: Info,
    invite: UserPlus,
    link: Link,
    lock: Lock,
    log_out: LogOut,
    microphone: Mic,
    more: Ellipsis,
    muted: BellOff,
    next: ChevronRight,
    open: ChevronDown,
    pause: Pause,
    person: User,
    picture: Image,
    pin: Pin,
    place: MapPin,
    play: Play,
    poll: Vote,
    read: CheckCheck,
    reply: Reply,
    request: MessageCircle,
    search: Search,
    send: SendHorizontal,
    sent: Check,
    settings: Settings,
    star: Star,
    timer: Timer,
    unlocked: LockOpen,
    verified: ShieldCheck,
} satisfies Record<string, IconNode>;

export type IconName = keyof typeof ICONS;

/** Icons that point along the text, and point the other way where it runs from right to left. */
const POINTING = new Set<IconName>(["back", "forward", "next", "reply", "send"]);

export function Icon({ name, label }: { name: IconName; label?: string }) {
    return <Drawing of={ICONS[name]} isPointing={POINTING.has(name)} label={label} />;
}

/** An icon of Lucide as it is drawn. */
export function Drawing({ of, isPointing, label }: { of: IconNode; isPointing?: boolean; label?: string | undefined }) {
    return (
        <svg class="icon" viewBox="0 0 24 24" data-pointing={isPointing || undefined} role={label ? "img" : undefined} aria-label={label} aria-hidden={!label}>
            {of.map(([tag, attributes]) => h(tag, attributes as Record<string, string>))}
        </svg>
    );
}
