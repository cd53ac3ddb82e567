// Photos as cameras make them, and what the server has of them.

import type { Page } from "@playwright/test";

import { expect } from "./app.ts";

/** A photo of noise, large enough that a smaller copy is made of it, with a place in what the camera wrote. */
export async function photo(page: Page): Promise<Buffer> {
    const base64 = await page.evaluate(async () => {
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [2400, 1200];
        const context = canvas.getContext("2d")!;
        for (let x = 0; x < 2400; x += 8) {
            for (let y = 0; y < 1200; y += 8) {
                context.fillStyle = `rgb(${(x * 7 + y * 13) % 256} ${(x * y) % 256} ${(x * 3) % 256})`;
                context.fillRect(x, y, 8, 8);
            }
        }
        return canvas.toDataURL("image/jpeg", 0.95).split(",")[1]!;
    });
    const jpeg = Buffer.from(base64, "base64");
    const written = Buffer.from("Exif\0\0taken at 52.52, 13.405", "latin1");
    const length = Buffer.alloc(2);
    length.writeUInt16BE(written.length + 2);
    return Buffer.concat([jpeg.subarray(0, 2), Buffer.from([0xff, 0xe1]), length, written, jpeg.subarray(2)]);
}

export async function download(origin: string, token: string, mxc: string): Promise<Buffer> {
    const where = `${origin}/_matrix/client/v1/media/download/${mxc.slice("mxc://".length)}`;
    const answer = await fetch(where, { headers: { Authorization: `Bearer ${token}` } });
    expect(answer.status).toBe(200);
    return Buffer.from(await answer.arrayBuffer());
}
