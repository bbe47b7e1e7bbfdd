//! Whose a TCP connection on this machine is, by the kernel's table of them: Linux's alone.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Whether the other end, which is on this machine, belongs to this user.
pub fn check(peer: SocketAddr, own: SocketAddr) -> Result<(), String> {
    let user = rustix::process::geteuid().as_raw();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        match owner(&text, peer, own) {
            Some(uid) if uid == user => return Ok(()),
            Some(uid) => return Err(format!("this service serves user {user} only, not user {uid}")),
            None => {}
        }
    }
    Err(format!("nobody knows whose connection {peer} is"))
}

/// The user of the socket that is bound to `peer` and connected to `own`, in the kernel's table.
fn owner(table: &str, peer: SocketAddr, own: SocketAddr) -> Option<u32> {
    const UID: usize = 7;
    let (peer, own) = (plain(peer), plain(own));
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let (local, remote) = (address(fields.get(1)?)?, address(fields.get(2)?)?);
        if (local, remote) == (peer, own) { fields.get(UID)?.parse().ok() } else { None }
    })
}

/// `0100007F:1F90`: each 32 bits of an address in the machine's own byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let mut bytes = [0; 16];
            bytes.copy_from_slice(words.as_flattened());
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_owner_of_a_connection_is_read_from_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0\n   \
            1: 0100007F:9C40 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  4711        0 2 1 0\n";
        let (peer, own) = (SocketAddr::from(([127, 0, 0, 1], 0x9c40)), SocketAddr::from(([127, 0, 0, 1], 0x1f90)));
        assert_eq!(owner(table, peer, own), Some(4711));
        assert_eq!(owner(table, own, peer), None);
        let mapped = "sl\n 0: 0000000000000000FFFF00000100007F:9C40 0000000000000000FFFF00000100007F:1F90 01 0 0 0 7\n";
        assert_eq!(owner(mapped, peer, own), Some(7));
        assert_eq!(owner("sl\n 0: zz:1 zz:1 01 0 0 0 7\n", peer, own), None);
    }

    #[test]
    fn a_real_connection_has_an_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.local_addr().expect("bound");
        let client = TcpStream::connect(own).expect("somebody listens");
        let (_stream, peer) = listener.accept().expect("somebody connected");
        assert_eq!(check(peer, own), Ok(()));
        drop(client);
        assert!(check(SocketAddr::from(([127, 0, 0, 1], 1)), own).is_err());
    }
}
