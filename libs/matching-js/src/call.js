/** Calling a server, for apps that have no HTTP client of their own for it. */

/**
 * A function that {@link findPeople} can call a server with.
 * @param {string} baseUrl where the person's platform is reached, such as `https://chat.example.org`
 * @param {string} accessToken the person's access token
 */
export function callWith(baseUrl, accessToken) {
    return async ({ method, path, body }) => {
        const headers = { Authorization: `Bearer ${accessToken}` };
        if (body !== undefined) headers["Content-Type"] = "application/json";
        const response = await fetch(new URL(path, baseUrl), { method, headers, body });
        return { status: response.status, body: new Uint8Array(await response.arrayBuffer()) };
    };
}
