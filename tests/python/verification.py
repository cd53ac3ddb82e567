"""Verifying devices by short authentication strings; each step is told once.

matrix-nio knows the older way only, which begins with `m.key.verification.start`. What comes before and after that
today (`request`, `ready`, `done`) is answered and sent here.
"""

import hashlib
import time
import uuid

import nio
import nio.crypto.sas
from nio.event_builders import ToDeviceMessage
from unpaddedbase64 import encode_base64

from wire import Refused, ok, write

METHOD = "m.sas.v1"
PREFIX = "m.key.verification."
# What the specification calls differently.
NAMES = {"wrench": "spanner", "airplane": "aeroplane"}


class Sha256:
    """matrix-nio 0.26 commits to its key in hexadecimal; everybody else does so in unpadded base64."""

    def __init__(self, data):
        self.digest = hashlib.sha256(data).digest()

    def hexdigest(self):
        return encode_base64(self.digest)


nio.crypto.sas.sha256 = Sha256
# And it computes this code, but calls it by the name of one that was computed otherwise.
nio.crypto.sas.Sas._mac_normal = "hkdf-hmac-sha256.v2"
nio.crypto.sas.Sas._mac_v1 = [nio.crypto.sas.Sas._mac_normal]


class Flow:
    """A verification with one device of somebody."""

    def __init__(self, user, device, flow):
        self.user = user
        self.device = device
        self.id = flow
        self.told = set()
        # What of the end has come: both sides confirmed, and the other side is done.
        self.verified = False
        self.other_done = False

    def tell(self, state, emoji=None, reason=None):
        if state in self.told:
            return
        self.told.add(state)
        line = {"event": "verification", "user": self.user, "device": self.device, "flow": self.id}
        write(line | {"state": state, "emoji": emoji, "reason": reason})


class Verifications:
    """The verifications of one device."""

    def __init__(self, client):
        self.client = client
        self.flows = {}
        client.add_to_device_callback(self.receive, nio.KeyVerificationEvent)
        client.add_to_device_callback(self.receive_unknown, nio.UnknownToDeviceEvent)

    def find(self, user, flow):
        found = self.flows.get(flow)
        if found is None or found.user != user:
            raise Refused("", f"there is no verification {flow} with {user}")
        return found

    async def send(self, flow, kind, content):
        content = {"transaction_id": flow.id} | content
        ok(await self.client.to_device(ToDeviceMessage(PREFIX + kind, flow.user, flow.device, content)))

    # Commands

    async def verify(self, user, device):
        flow = self.flows[flow_id] = Flow(user, device, flow_id := str(uuid.uuid4()))
        await self.know(user)
        timestamp = int(time.time() * 1000)
        await self.send(flow, "request", self.offer() | {"timestamp": timestamp})
        return flow.id

    async def accept(self, flow):
        await self.send(flow, "ready", self.offer())
        flow.tell("ready")

    async def start(self, flow):
        olm = self.client.olm
        keys = olm.account.identity_keys["ed25519"]
        device = self.client.device_store[flow.user][flow.device]
        sas = nio.crypto.sas.Sas(self.client.user_id, self.client.device_id, keys, device, flow.id)
        olm.key_verifications[flow.id] = sas
        ok(await self.client.to_device(sas.start_verification()))

    async def confirm(self, flow):
        ok(await self.client.confirm_short_auth_string(flow.id))
        await self.go_on(flow)

    async def mismatch(self, flow):
        ok(await self.client.cancel_key_verification(flow.id, reject=True))
        self.look_whether_cancelled(flow)

    async def cancel(self, flow):
        if flow.id in self.client.key_verifications:
            ok(await self.client.cancel_key_verification(flow.id))
        else:
            await self.send(flow, "cancel", {"code": "m.user", "reason": "cancelled"})
        flow.tell("cancelled", reason="m.user")

    def offer(self):
        return {"from_device": self.client.device_id, "methods": [METHOD]}

    async def know(self, user):
        """The library takes part only with devices that it knows."""
        self.client.olm.users_for_key_query.add(user)
        ok(await self.client.keys_query())

    # Events

    async def receive_unknown(self, event):
        content = event.source["content"]
        kind = event.type.removeprefix(PREFIX)
        flow = self.flows.get(content.get("transaction_id"))
        if kind == "request" and METHOD in content["methods"]:
            flow = Flow(event.sender, content["from_device"], content["transaction_id"])
            self.flows[flow.id] = flow
            await self.know(event.sender)
            flow.tell("requested")
        elif flow and kind == "ready":
            flow.device = content["from_device"]
            flow.tell("ready")
        elif flow and kind == "done":
            flow.other_done = True
            await self.go_on(flow)

    async def receive(self, event):
        flow = self.flows.get(event.transaction_id)
        if flow is None:
            return
        if isinstance(event, nio.KeyVerificationStart):
            if flow.id in self.client.key_verifications:
                ok(await self.client.accept_key_verification(flow.id))
        elif isinstance(event, nio.KeyVerificationKey):
            self.show_emoji(flow)
        elif isinstance(event, nio.KeyVerificationMac):
            await self.go_on(flow)
        elif isinstance(event, nio.KeyVerificationCancel):
            flow.tell("cancelled", reason=event.code)
        self.look_whether_cancelled(flow)

    def show_emoji(self, flow):
        sas = self.client.key_verifications[flow.id]
        if not sas.canceled:
            # `get_emoji` takes the numbers of the emoji for bytes to compute them from.
            numbers = sas.established_sas.bytes(sas._extra_info).emoji_indices
            names = [sas.emoji[number][1].lower() for number in numbers]
            flow.tell("emoji", emoji=[NAMES.get(name, name) for name in names])

    def look_whether_cancelled(self, flow):
        sas = self.client.key_verifications.get(flow.id)
        if sas is not None and sas.canceled:
            flow.tell("cancelled", reason=sas.cancel_code)

    async def go_on(self, flow):
        """Ends it, once both sides have confirmed."""
        if not flow.verified and self.client.key_verifications[flow.id].verified:
            flow.verified = True
            await self.send(flow, "done", {})
        if flow.verified and flow.other_done:
            flow.tell("done")
