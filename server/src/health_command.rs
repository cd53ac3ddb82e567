//! The command `health`: whether the server that runs with a configuration should be sent requests, for whoever supervises it
//! and has no HTTP client.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use crate::{Failure, config::Config};

/// How long the server may take to say something.
const TIMEOUT: Duration = Duration::from_secs(4);
/// The longest answer that is read.
const ANSWER_BYTES: u64 = 64 << 10;

/// Asks the server, and prints what it says.
pub(crate) fn run(config: &Config) -> Result<ExitCode, Failure> {
    let own = config.platforms.iter().filter_map(|platform| platform.listen);
    let address = [config.listen.metrics, config.listen.http].into_iter().flatten().chain(own).next();
    let address =
        address.map(reachable).ok_or("there is no listener without TLS to ask; set `metrics` of [listen]")?;
    let failed = |error| format!("nobody answers at {address}: {error}");
    let (head, body) = ask(address).map_err(failed)?;
    println!("{body}");
    let is_ready = head.split(' ').nth(1) == Some("200");
    Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An address at which a listener is reached from here: one that listens everywhere listens here, too.
fn reachable(address: SocketAddr) -> SocketAddr {
    let here = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(here, address.port())
}

fn ask(address: SocketAddr) -> std::io::Result<(String, String)> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let request = "GET /_linkspan/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Ok((head.to_owned(), body.to_owned()))
}
