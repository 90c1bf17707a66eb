//! Who gets in where.

use std::cell::Cell;
use std::fs;

use proptest::prelude::*;
use smol::future::{block_on, poll_once};

use super::*;
use crate::basic::tests::encode;

// What `openssl passwd -1 -salt saltsalt secret` writes, and likewise.
const MD5: &str = "$1$saltsalt$9xy1btjgzLYfb7hivXtC//";
const SHA256: &str = "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA";
const SHA512: &str = "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiO\
                      QSpT0Y77vwPZN.Pq.H91p5hVO1";
const SLOW: &str = "$6$rounds=200000$saltsalt$KIxokzdpd7LKAYpcFF2gzdBmn/H5QW5uzrQTMGe5wOOY04iJw\
                    z7bq6VsrGlmj40xZRvV///sdvBQWCaURFvL61";

fn no_accounts() -> Accounts {
    Accounts::at("/nonexistent/shadow".into(), "/nonexistent/passwd".into())
}

fn add(realms: &mut Realms, accounts: &Accounts, line: &str) -> Report {
    let mut report = Report::default();
    let [path, user, password] = line.splitn(3, ':').collect::<Vec<_>>()[..] else {
        panic!("{line}");
    };
    realms.add(path, user, password, accounts, "f:1", &mut report);
    report
}

fn realms(lines: &[&str]) -> Realms {
    let mut realms = Realms::default();
    for line in lines {
        assert_eq!(add(&mut realms, &no_accounts(), line), Report::default(), "{line}");
    }
    realms
}

fn field(user: &str, password: &str) -> String {
    format!("Basic {}", encode(format!("{user}:{password}").as_bytes()))
}

async fn verdict(realms: &Realms, path: &str, user: &str, password: &str) -> Verdict {
    let field = field(user, password);
    realms.admits(path.as_bytes(), Some(field.as_bytes())).await.unwrap()
}

fn enters(realms: &Realms, path: &str, user: &str, password: &str) -> bool {
    match block_on(verdict(realms, path, user, password)) {
        Verdict::Admitted { user: u, password: p } => {
            assert_eq!((&*u, &*p), (user, password));
            true
        }
        Verdict::Refused => false,
        Verdict::Open => panic!("{path} is open"),
    }
}

#[test]
fn a_realm_ends_where_its_segments_do() {
    let some = realms(&["/prot:u:p", "//Deep///er/:u:p"]);
    for path in ["/prot", "/prot/", "/prot/x", "/PROT/x", "//prot", "/deep/er", "/deep//ER/x"] {
        assert!(some.guards(path.as_bytes()), "{path}");
    }
    for path in ["/", "/prot2", "/pro", "/prot.html", "/x/prot", "/deep", "/deeper", "*", ""] {
        assert!(!some.guards(path.as_bytes()), "{path}");
        assert_eq!(block_on(some.admits(path.as_bytes(), None)).unwrap(), Verdict::Open);
    }
    for root in ["/:u:p", "//:u:p"] {
        let all = realms(&[root]);
        assert!(
            ["/", "/x", "//x/y", "*", "", "/\u{fffd}"].iter().all(|it| all.guards(it.as_bytes()))
        );
        assert!(all.guards(b"/\xff") && !all.is_empty());
    }
    assert!(Realms::default().is_empty() && !Realms::default().guards(b"/"));
}

#[test]
fn the_longest_path_decides() {
    let realms = realms(&["/a:all:p", "/a/b:deep:p", "/A/B/:other:q", "/:root:p", "/a/b:other:r"]);
    for (path, user, password, admitted) in [
        ("/a/b/c", "deep", "p", true),
        ("/a/b", "other", "q", true),
        ("/a/b", "other", "r", true),
        ("/a/b", "other", "p", false),
        ("/a/b", "all", "p", false),
        ("/a/bc", "all", "p", true),
        ("/a", "root", "p", false),
        ("/b", "root", "p", true),
        ("/b", "Root", "p", false),
        ("/b", "root", "P", false),
        ("/b", "root", "", false),
        ("/b", "root", "pp", false),
        ("/b", "", "p", false),
    ] {
        assert_eq!(enters(&realms, path, user, password), admitted, "{path} {user}:{password}");
    }
}

#[test]
fn nobody_enters_without_credentials() {
    let realms = realms(&["/:u:p", &format!("/h:u:{MD5}")]);
    for path in [&b"/"[..], b"/h"] {
        for field in [None, Some(&b""[..]), Some(b"Basic"), Some(b"Basic !"), Some(b"Bearer dTpw")]
        {
            assert_eq!(
                block_on(realms.admits(path, field)).unwrap(),
                Verdict::Refused,
                "{field:?}"
            );
        }
    }
}

#[test]
fn hashes_of_every_method_are_checked() {
    let colon = "$1$saltsalt$qW538FrsTUAbIasQ6IC7H.";
    let realms = realms(&[
        &format!("/1:u:{MD5}"),
        &format!("/5:u:{SHA256}"),
        &format!("/6:u:{SHA512}"),
        &format!("/colon:u:{colon}"),
        "/rounds:u:$5$rounds=1000$abc$Mz4DiYKTnNKbZLo/mIp3d8Y4aQBhv3uhSwxLDy55/Y8",
        "/b:u:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
    ]);
    for path in ["/1", "/5", "/6", "/rounds", "/b"] {
        // Wrong ones are so before and after the right one was found.
        for _ in 0..2 {
            for wrong in ["", "secre", "secrets", "Secret", "secret "] {
                assert!(!enters(&realms, path, "u", wrong), "{path} {wrong}");
            }
            assert!(!enters(&realms, path, "v", "secret"), "{path}");
            assert!(enters(&realms, path, "u", "secret"), "{path}");
        }
    }
    assert!(enters(&realms, "/colon", "u", "pä:ss"));
    for (path, hash) in [("/1", MD5), ("/5", SHA256), ("/6", SHA512)] {
        assert!(!enters(&realms, path, "u", hash), "a hash is no password");
    }
}

#[test]
fn what_is_no_hash_admits_nobody() {
    let mut it = Realms::default();
    for (path, password) in [("/a", "$ecret"), ("/b", "$"), ("/c", "$$"), ("/d", "$1")] {
        let report = add(&mut it, &no_accounts(), &format!("{path}:u:{password}"));
        assert_eq!(report.mistakes, [""; 0]);
        assert!(
            report.notes[0].starts_with(&format!("f:1: {path}: nobody gets in as u: what begins"))
        );
        assert!(!report.notes[0].contains("ecret"), "{report:?}");
    }
    // What only crypt(3) can tell of.
    it = realms(&["/e:u:$1$", "/f:u:$6$salt", "/g:u:$1$saltsalt$"]);
    add(&mut it, &no_accounts(), "/h:u:$9$salt$x");
    let short = &MD5[..MD5.len() - 1];
    add(&mut it, &no_accounts(), &format!("/i:u:{short}"));
    add(&mut it, &no_accounts(), &format!("/j:u:{MD5}/"));
    for path in ["/e", "/f", "/g", "/h", "/i", "/j"] {
        for password in ["secret", "", "*0", "*1", "*", "$1$", "$9$salt$x"] {
            assert!(!enters(&it, path, "u", password), "{path} {password}");
        }
    }
}

#[test]
fn long_passwords_are_hashed_by_nobody() {
    let realms = realms(&[&format!("/:u:{MD5}")]);
    assert!(!enters(&realms, "/", "u", &"x".repeat(LONGEST)));
    assert!(!enters(&realms, "/", "u", &"x".repeat(LONGEST + 1)));
    let long = "x".repeat(LONGEST + 1);
    assert!(enters(&self::realms(&[&format!("/:u:{long}")]), "/", "u", &long));
}

#[test]
fn accounts_of_the_system_enter() {
    let name = format!("ecohttpd-auth-{}", std::process::id());
    let shadow = std::env::temp_dir().join(name);
    let text = format!(
        "root:{MD5}:1:\nnone::1:\nstar:*:\nbang:!:\nx:x:\noff:!{MD5}:\ndes:abJnggxhB/yWI:\n"
    );
    fs::write(&shadow, text + "odd:$1$\0:\nunknown:$:\n").unwrap();
    let accounts = Accounts::at(shadow.clone(), "/nonexistent/passwd".into());
    let mut it = Realms::default();
    assert_eq!(add(&mut it, &accounts, "/root:admin:$p$root"), Report::default());
    assert!(enters(&it, "/root", "admin", "secret"));
    assert!(!enters(&it, "/root", "root", "secret"));
    assert!(!enters(&it, "/root", "admin", "$p$root"));
    assert!(!enters(&it, "/root", "admin", MD5));

    let open = add(&mut it, &accounts, "/open:u:$p$none");
    let note = "f:1: /open: the account none has no password, so this guards nothing";
    assert_eq!((&open.mistakes[..], &open.notes[..]), (&[][..], &[note.to_owned()][..]));
    assert!(!it.guards(b"/open"));

    for (account, why) in [
        ("star", "the account star is locked"),
        ("bang", "the account bang is locked"),
        ("x", "the account x is locked"),
        ("off", "the account off is locked"),
        ("des", "the account des has no hash of a method"),
        ("nobody", "the account nobody is not there"),
        ("odd", "the account odd has no hash"),
        ("unknown", "the account unknown has no hash"),
    ] {
        let report = add(&mut it, &accounts, &format!("/{account}:u:$p${account}"));
        let note = format!("f:1: /{account}: nobody gets in as u: {why}");
        assert!(report.mistakes.is_empty() && report.notes[0].starts_with(&note), "{report:?}");
        for password in ["", "secret", "*", "!", "x", MD5, &format!("$p${account}")] {
            assert!(!enters(&it, &format!("/{account}"), "u", password), "{account} {password}");
        }
    }
    fs::remove_file(&shadow).unwrap();

    let unreadable = Accounts::at("/".into(), "/etc/passwd".into());
    let report = add(&mut it, &unreadable, "/dir:u:$p$root");
    assert!(report.mistakes[0].starts_with("f:1: /dir: /: Is a directory"), "{report:?}");
    assert!(!enters(&it, "/dir", "u", "") && report.notes.is_empty());
}

#[test]
fn paths_that_no_request_has_are_told() {
    let mut it = Realms::default();
    for path in ["/a/./b", "/..", "/a/.."] {
        assert_eq!(
            add(&mut it, &no_accounts(), &format!("{path}:u:p")).mistakes.len(),
            1,
            "{path}"
        );
    }
    assert!(it.is_empty());
    for (path, notes) in [("/a%20b", 1), ("/100%", 0), ("/a%zz", 0), ("/...", 0)] {
        assert_eq!(
            add(&mut it, &no_accounts(), &format!("{path}:u:p")).notes.len(),
            notes,
            "{path}"
        );
    }
    assert!(it.guards(b"/a%20b") && it.guards(b"/.../x"));
}

#[test]
fn requests_carry_little_for_it() {
    let size = size_of_val(&Realms::default().admits(b"/", None));
    assert!(size <= 640, "{size}");
}

#[test]
fn a_password_is_hashed_once() {
    let realms = realms(&[&format!("/:u:{SLOW}")]);
    let (right, wrong) = (field("u", "secret"), field("u", "wrong"));
    let at_once = |field: &str| block_on(poll_once(realms.admits(b"/", Some(field.as_bytes()))));
    assert!(at_once(&right).is_none());
    assert!(enters(&realms, "/", "u", "secret"));
    assert!(matches!(at_once(&right), Some(Ok(Verdict::Admitted { .. }))));
    assert!(at_once(&wrong).is_none(), "another one is hashed");
    assert!(!enters(&realms, "/", "u", "wrong"));
    assert!(matches!(at_once(&right), Some(Ok(Verdict::Admitted { .. }))), "and forgets none");
}

#[test]
fn requests_of_one_page_wait_for_one_hash() {
    let realms = realms(&[&format!("/:u:{SLOW}")]);
    let right = field("u", "secret");
    block_on(async {
        let mut page: Vec<_> =
            (0..6).map(|_| Box::pin(realms.admits(b"/", Some(right.as_bytes())))).collect();
        for request in &mut page {
            assert!(poll_once(request).await.is_none());
        }
        let mut page = page.into_iter();
        assert!(matches!(page.next().unwrap().await, Ok(Verdict::Admitted { .. })));
        for request in page {
            let at_once = poll_once(request).await;
            assert!(matches!(at_once, Some(Ok(Verdict::Admitted { .. }))));
        }
    });
}

#[test]
fn users_who_are_not_there_take_as_long() {
    let realms = realms(&[&format!("/:u:{SLOW}"), "/:plain:p", "/none:plain:p"]);
    let at_once = |path: &str, user, password| {
        let field = field(user, password);
        block_on(poll_once(realms.admits(path.as_bytes(), Some(field.as_bytes()))))
    };
    for (user, password) in [("nobody", "wrong"), ("plain", "wrong"), ("nobody", "secret")] {
        assert!(at_once("/", user, password).is_none(), "{user}");
        // Nor does it become the password of anybody.
        for _ in 0..2 {
            assert!(!enters(&realms, "/", user, password), "{user}");
        }
    }
    assert!(at_once("/", "u", "secret").is_none());
    for user in ["plain", "nobody"] {
        assert!(matches!(at_once("/none", user, "wrong"), Some(Ok(Verdict::Refused))));
    }
    let right = at_once("/", "plain", "p");
    assert!(matches!(right, Some(Ok(Verdict::Admitted { .. }))), "plain ones wait for nobody");
}

#[test]
fn those_who_go_leave_one_hash_behind() {
    let realms = realms(&[&format!("/:u:{SLOW}")]);
    let wrong = field("u", "wrong");
    block_on(async {
        let one = || realms.admits(b"/", Some(wrong.as_bytes()));
        assert!(poll_once(one()).await.is_none());
        let turn = TURNS.with(Rc::clone).take().await;
        let begun = Rc::new(Cell::new(false));
        let next = begun.clone();
        let mut next = Box::pin(turn.run(async move {
            next.set(true);
            Ok(true)
        }));
        assert!(poll_once(&mut next).await.is_none() && !begun.get(), "one is in flight");
        assert!(matches!(next.await, Some(Ok(true))) && begun.get());
        drop(turn);
        for _ in 0..50 {
            assert!(poll_once(one()).await.is_none());
        }
        assert!(matches!(verdict(&realms, "/", "u", "secret").await, Verdict::Admitted { .. }));
    });
}

#[test]
fn the_helper_thread_has_room_for_every_method() {
    if !cfg!(target_env = "gnu") {
        return;
    }
    // Not every system has them, but where one does, its thread must not run out of stack.
    for hash in [
        "$y$j9T$abcdefgh$IUWJt2doU4Kf6E/JP1UkAT3S5O3Q7SSA8SJirXIlEu9",
        "$gy$j9T$abcdefgh$Fi3mUfLMwr2ZyDlmydp6rw5RwzYJnsb1LquZlQ2CYq0",
        "$7$CU..../....abcdefgh$XWs9HxtpA2.6U5CDBBbcW.h3o9pYlC.MIIb8JqMgZx6",
    ] {
        let it = realms(&[&format!("/:u:{hash}")]);
        assert!(enters(&it, "/", "u", "secret") || crypt(c"secret", c"$y$j9T$abcdefgh").is_none());
        assert!(!enters(&it, "/", "u", "wrong"));
    }
}

#[test]
fn a_hash_of_our_own_lets_in() {
    let hash = hash_md5("secret").unwrap();
    assert!(hash.len() == MD5.len() && hash.starts_with("$1$"), "{hash}");
    assert_ne!(hash_md5("secret").unwrap(), hash, "salts differ");
    assert!(enters(&realms(&[&format!("/:u:{hash}")]), "/", "u", "secret"));
    assert_eq!(hash_md5("sec\0ret"), None);
    assert!(hash_md5("").is_some() && hash_md5("pä:ss").is_some());
}

proptest! {
    #[test]
    fn the_same_is_the_same(a in prop::collection::vec(0_u8..3, 0..5), b in prop::collection::vec(0_u8..3, 0..5)) {
        prop_assert_eq!(same(&a, &b), a == b);
        prop_assert!(same(&a, &a));
    }

    #[test]
    fn realms_cover_themselves_and_what_is_below(path in "(/[a-c.]{0,3}){1,4}", below in "(/[^/]{0,3}){0,3}", after in "[^/]") {
        let mut realms = Realms::default();
        let report = add(&mut realms, &no_accounts(), &format!("{path}:u:p"));
        prop_assume!(report.mistakes.is_empty());
        let [below, upper, other] = [
            format!("{path}{below}"),
            format!("{}/{below}", path.to_uppercase()),
            format!("{path}{after}"),
        ];
        prop_assert!(realms.guards(path.as_bytes()));
        prop_assert!(realms.guards(below.as_bytes()), "{}", below);
        prop_assert!(realms.guards(upper.as_bytes()), "{}", upper);
        prop_assert_eq!(realms.guards(other.as_bytes()), path.ends_with('/'), "{}", other);
    }
}
