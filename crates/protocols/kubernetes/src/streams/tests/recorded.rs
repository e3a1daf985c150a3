//! What kubectl 1.37.1 sent, byte for byte, to a server that only listened and echoed.

use data_encoding::HEXLOWER;

use super::*;

/// `printf 'given\n' | kubectl exec -i web -- cat` over `v5.channel.k8s.io`, after the upgrade: input, the end of the input, and, once the
/// status was there, the end of the connection.
const EXEC: &str = "82874f624ada4f0523ac2a0c408282dcef5d1a23ef88825258eee251b0";

fn exec() -> Vec<u8> {
    HEXLOWER.decode(EXEC.as_bytes()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_of_version_5_ends_its_input() {
    // However they are cut.
    for cut in 1..exec().len() {
        let (mut peer, io) = tokio::io::duplex(1 << 16);
        let (leg, driver) =
            client_exec(io, &upgrade(Over::WebSocket, Wanted::Exec, "v5.channel.k8s.io"), ALL);
        let driver = drive(driver);
        let (mut from, mut to) = leg.ready().await.unwrap();
        for piece in exec().chunks(cut) {
            peer.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut given = Vec::new();
        loop {
            match from.next().await.unwrap() {
                Some(ToPod::Stdin(bytes)) => given.extend(bytes),
                Some(ToPod::StdinEnd) => break,
                other => panic!("{cut}: {other:?}"),
            }
        }
        assert_eq!(given, b"given\n", "{cut}");
        assert!(!matches!(from.next().await, Ok(Some(_))), "{cut}: nothing comes behind it");
        let _ = to.send(FromPod::Status(Bytes::from_static(SUCCESS.as_bytes()))).await;
        let _ = to.finish().await;
        assert_eq!(driver.await.unwrap(), Ok(()), "{cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_hears_from_us_what_it_would_hear_from_kubectl() {
    let messages = async |io: DuplexStream| {
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        let mut all = Vec::new();
        while all.len() < 2 {
            all.push(socket.next().await.unwrap().unwrap());
        }
        all
    };
    let (mut peer, io) = tokio::io::duplex(1 << 16);
    peer.write_all(&exec()).await.unwrap();
    let of_kubectl = messages(io).await;

    let (io, far) = tokio::io::duplex(1 << 16);
    let (leg, driver) = cluster_exec(io, &agreed(Over::WebSocket, Wanted::Exec), ALL);
    let _driver = drive(driver);
    let (_from, mut to) = leg.ready().await.unwrap();
    to.send(ToPod::Stdin(Bytes::from_static(b"given\n"))).await.unwrap();
    to.send(ToPod::StdinEnd).await.unwrap();
    assert_eq!(messages(far).await, of_kubectl);
}
