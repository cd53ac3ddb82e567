-- One Prosody with two hosts; every message is archived for both sides. Words in {{…}} are filled in.
data_path = "{{folder}}/data"
pidfile = "{{folder}}/prosody.pid"
log = { warn = "*console" }
interfaces = { "127.0.0.1" }
c2s_ports = { {{port}} }
c2s_direct_tls_ports = {}
modules_enabled = { "saslauth", "register_ibr", "roster", "disco", "mam", "smacks" }
modules_disabled = { "s2s", "tls" }

allow_registration = true
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"

default_archive_policy = true
archive_expires_after = "never"
{{storage}}

VirtualHost "one.localhost"
VirtualHost "two.localhost"
