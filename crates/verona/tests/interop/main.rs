//! The gateway as its users run it, between real programs: Prosody with slixmpp clients on one side; sipp, baresip,
//! Kamailio and a phone that is strict about every byte on the other. What a program lacks, `scripts/setup` installs; a
//! test without its program fails and says so.

mod accounts_identity;
mod accounts_linking;
mod acme;
mod calls;
mod calls_between;
mod calls_faults;
mod calls_relay;
mod chat;
mod chat_faults;
mod chat_sip;
mod edges_kamailio;
mod edges_phones;
mod errors;
mod faults;
mod federation;
mod federation_direct;
mod federation_faults;
mod hall;
mod line;
mod overload;
mod phones;
mod presence;
mod presence_phones;
mod presence_proxy;
mod presence_publish;
mod presence_server;
mod presence_sipp;
mod presence_watched;
mod proxy;
mod registrar_calls;
mod registrar_phones;
mod registrar_web;
mod relay;
mod rooms;
mod rooms_faults;
mod rooms_focus;
mod rooms_msrp;
mod rooms_ways;
mod route_failover;
mod service;
mod texts;
mod trunk_calls;
mod trunk_sipp;
mod world;
