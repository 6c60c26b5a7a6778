-- A Prosody for one test: on the test's own loopback address, in its own folder; clients come without TLS. What it has of other servers
-- comes from the rehearsal crate.
-- @NAMES@ are filled in by the rehearsal crate.
run_as_root = true
pidfile = "@DIR@/prosody.pid"
data_path = "@DIR@/data"
certificates = "@DIR@"
network_backend = "epoll"

interfaces = { "@IP@" }
c2s_ports = { @CLIENT_PORT@ }
component_interfaces = { "@IP@" }
component_ports = { @COMPONENT_PORT@ }
c2s_direct_tls_ports = {}
legacy_ssl_ports = {}
http_ports = {}
https_ports = {}

-- "offline" is left out: what cannot be delivered now comes back as an error, which is what a test wants to see.
modules_enabled = { "roster"; "saslauth"; "disco"; "ping"; "version"; "presence"; "message"; "iq"; "tls"; "dialback"; @MODULES@ }
@SERVERS@
authentication = "internal_plain"
allow_unencrypted_plain_auth = true
c2s_require_encryption = false

log = { debug = "*console" }

VirtualHost "@DOMAIN@"

@COMPONENTS@
