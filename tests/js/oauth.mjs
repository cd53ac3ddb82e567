// Sessions of OAuth 2.0: the library registers itself and makes the address of the page; the test is the browser.

import * as sdk from "matrix-js-sdk";
import { client, resume, unauthenticated } from "./session.mjs";

const CLIENT = { client_name: "A client of matrix-js-sdk", client_uri: "https://client.example.org/" };
// What the server has given to nobody, in the place of a token whose time is over.
const EXPIRED = "expired";

// What was begun, and not yet allowed.
let asking;
let tokens;

async function begin({ server, redirect }) {
    const metadata = await unauthenticated(server).getAuthMetadata();
    const words = { ...CLIENT, application_type: "native", redirect_uris: [redirect] };
    const clientId = await sdk.OAuth2.registerClient(metadata, words);
    return { oauth: new sdk.OAuth2(metadata, { clientId }), clientId, redirect };
}

// The session of whom the tokens are.
async function finish(server, options, { access_token, refresh_token }) {
    const { clientId } = asking;
    tokens = { access: access_token, refresh: refresh_token, client: clientId };
    const asker = sdk.createClient({ baseUrl: server, accessToken: access_token });
    const { user_id, device_id } = await asker.whoami();
    const onTokenRefresh = async ({ accessToken, refreshToken }) => {
        tokens = { access: accessToken, refresh: refreshToken, client: clientId };
    };
    const oauth = { refreshToken: refresh_token, oauthClientId: clientId, onTokenRefresh };
    return resume(server, { user_id, device_id, access_token }, { ...options, oauth });
}

export const commands = {
    async oauth_begin(words) {
        asking = { ...(await begin(words)), state: crypto.randomUUID(), words };
        const { oauth, state, redirect } = asking;
        return { url: await oauth.generateAuthorizationCodeGrantUrl(state, redirect, "query") };
    },
    async oauth_finish({ url }) {
        const { oauth, state, redirect, words } = asking;
        const { searchParams: answer } = new URL(url);
        if (answer.get("state") !== state) throw new Error("the answer is to another question");
        return finish(words.server, words, await oauth.completeAuthorizationCodeGrant(answer.get("code"), redirect));
    },
    async oauth_device_begin(words) {
        asking = { ...(await begin(words)), words };
        asking.grant = await asking.oauth.startDeviceAuthorizationGrant();
        return { url: asking.grant.verification_uri_complete, code: asking.grant.user_code };
    },
    async oauth_device_finish() {
        const { oauth, grant, words } = asking;
        const answer = await oauth.waitForDeviceAuthorizationGrant(grant);
        if (answer.error) throw new Error(answer.error);
        return finish(words.server, words, answer);
    },
    async oauth_refresh() {
        // The library finds its token refused, and does the rest.
        client.setAccessToken(EXPIRED);
        await client.whoami();
        return tokens;
    },
    oauth_tokens: () => tokens,
};
