// Pictures of people and of groups are square, and no larger than any screen shows them.

import type { MatrixClient } from "matrix-js-sdk";

import { notify } from "../ui/notice";
import { words } from "../words";

const SIDE_PX = 512;

/**
 * The middle of a picture as a square of at most 512 pixels. What a camera has noted in the file, such as the place, is not in it.
 *
 * @throws DOMException if the file is no picture that the browser can read.
 */
async function squared(file: Blob): Promise<Blob> {
    const picture = await createImageBitmap(file);
    const side = Math.min(picture.width, picture.height);
    const shown = Math.min(side, SIDE_PX);
    const canvas = new OffscreenCanvas(shown, shown);
    const context = canvas.getContext("2d")!;
    context.drawImage(picture, (picture.width - side) / 2, (picture.height - side) / 2, side, side, 0, 0, shown, shown);
    picture.close();
    return canvas.convertToBlob({ type: "image/webp", quality: 0.9 });
}

/** The square of a file that the person has chosen; nothing if it is no picture, which they are told. */
export async function chosenPicture(file: Blob): Promise<Blob | undefined> {
    try {
        return await squared(file);
    } catch (error) {
        console.warn(error);
        notify({ text: words("settings.profile.no_picture") });
        return undefined;
    }
}

/** Uploads a picture of somebody or of a group, without the name that its file had. Returns its address. */
export async function uploadPicture(client: MatrixClient, picture: Blob): Promise<string> {
    return (await client.uploadContent(picture, { includeFilename: false })).content_uri;
}
