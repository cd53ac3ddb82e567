// Pictures for people and messages. They are drawn, so that none of somebody else's is kept here.

import type { Browser } from "@playwright/test";

const SKIN = ["#f1c7a5", "#d9a074", "#a86f4a", "#7a4a2f", "#f5d7bd"];
const HAIR = ["#2b211d", "#5a3822", "#a8743c", "#151515", "#8c8c90", "#7b2d26"];
const CLOTHES = ["#35618e", "#a4483f", "#3f7d5a", "#c58a2b", "#6b4c8f", "#28707b"];
const WALLS = [["#cfe3f2", "#8fb7d6"], ["#f3ddc8", "#d9a77c"], ["#d8ead2", "#93bd8b"], ["#eadcf0", "#b292c5"], ["#f5e3b5", "#dcb65e"]];

const pick = <Value>(from: Value[], seed: number): Value => from[seed % from.length]!;

/** Somebody's head and shoulders. */
function portrait(seed: number): string {
    const [light, dark] = pick(WALLS, seed * 3 + 1) as [string, string];
    const skin = pick(SKIN, seed * 2 + 1);
    const hair = pick(HAIR, seed * 5 + 2);
    const isLong = seed % 2 === 0;
    return `<svg xmlns="http://www.w3.org/2000/svg" width="256" height="256" viewBox="0 0 256 256">
        <radialGradient id="wall" cx="35%" cy="25%" r="90%"><stop stop-color="${light}"/><stop offset="1" stop-color="${dark}"/></radialGradient>
        <rect width="256" height="256" fill="url(#wall)"/>
        ${isLong ? `<path d="M66 118c0-46 26-74 62-74s62 28 62 74v78H66z" fill="${hair}"/>` : ""}
        <path d="M28 262c4-54 44-78 100-78s96 24 100 78z" fill="${pick(CLOTHES, seed)}"/>
        <path d="M106 158h44v34c0 13-10 22-22 22s-22-9-22-22z" fill="${skin}"/>
        <path d="M106 172c12 12 32 12 44 0v-14h-44z" fill="#000" opacity=".14"/>
        <ellipse cx="128" cy="118" rx="45" ry="54" fill="${skin}"/>
        <path d="M80 112c-2-44 22-64 48-64s52 20 48 64c-6-22-14-32-26-36-18 12-46 14-58 8-6 6-10 14-12 28z" fill="${hair}"/>
        <g fill="#2a2020"><ellipse cx="110" cy="120" rx="4.5" ry="5.5"/><ellipse cx="146" cy="120" rx="4.5" ry="5.5"/></g>
        <path d="M112 144c8 9 24 9 32 0" fill="none" stroke="#5b2c26" stroke-width="4.5" stroke-linecap="round"/>
    </svg>`;
}

const SKIES = [["#f7b267", "#7d4e7e"], ["#bfe0f5", "#5a97cc"], ["#fbd8c5", "#e57c73"], ["#cfe9e4", "#4d9a95"]];

/** Hills below a sky. */
function landscape(seed: number, width: number, height: number): string {
    const [low, high] = pick(SKIES, seed) as [string, string];
    const ridge = (top: number, wave: number, colour: string) => {
        const points = Array.from({ length: 13 }, (_, at) => {
            const y = top + Math.sin(at * 1.7 + seed * 2.3 + wave) * 28 + Math.sin(at * 0.6 + wave * 3) * 34;
            return `${(at * width) / 12},${y.toFixed(1)}`;
        });
        return `<polygon points="0,${height} ${points.join(" ")} ${width},${height}" fill="${colour}"/>`;
    };
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
        <linearGradient id="sky" x2="0" y2="1"><stop stop-color="${high}"/><stop offset=".75" stop-color="${low}"/></linearGradient>
        <rect width="100%" height="100%" fill="url(#sky)"/>
        <circle cx="${width * (0.3 + (seed % 3) * 0.2)}" cy="${height * 0.36}" r="${height * 0.08}" fill="#fff6dc" opacity=".9"/>
        ${ridge(height * 0.56, 1, "#5d7a8c")}${ridge(height * 0.68, 2, "#40606a")}${ridge(height * 0.82, 3, "#26434a")}
    </svg>`;
}

export interface Pictures {
    portraits: Buffer[];
    landscapes: { bytes: Buffer; width: number; height: number }[];
}

const SIZES = [[1200, 800], [800, 1100], [1200, 900], [1000, 1000]] as const;

export async function drawPictures(browser: Browser, portraits = 12): Promise<Pictures> {
    const page = await browser.newPage();
    const draw = async (svg: string, width: number, height: number) => {
        await page.setViewportSize({ width, height });
        await page.setContent(`<body style="margin:0">${svg}`);
        return page.screenshot({ type: "jpeg", quality: 80 });
    };
    const drawn: Pictures = { portraits: [], landscapes: [] };
    for (let seed = 0; seed < portraits; seed++) drawn.portraits.push(await draw(portrait(seed), 256, 256));
    for (const [seed, [width, height]] of SIZES.entries()) {
        drawn.landscapes.push({ bytes: await draw(landscape(seed, width, height), width, height), width, height });
    }
    await page.close();
    return drawn;
}
