use super::*;

fn keyring() -> (tempfile::TempDir, Keyring) {
    let dir = tempfile::tempdir().unwrap();
    let keyring = Keyring::open(&dir.path().join("keyring.db")).unwrap();
    (dir, keyring)
}

#[test]
fn secrets_survive_a_restart_and_the_file_is_private() {
    let (dir, first) = keyring();
    let (tokens, visitor, session) = (first.token_keys(), first.visitor_key(), first.session_key());
    let salt = first.salt_of_day(20_000).unwrap();
    let sealed = first.seal("endpoint", b"whsec_1");
    assert_eq!(first.rotate_token_key().unwrap(), 1);
    drop(first);
    let path = dir.path().join("keyring.db");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = Keyring::open(&path).unwrap();
    assert_eq!(again.token_keys().len(), 2);
    assert_eq!(again.token_keys()[0], tokens[0], "newest last");
    assert_eq!((again.visitor_key(), again.session_key()), (visitor, session));
    assert_eq!(again.salt_of_day(20_000).unwrap(), salt);
    assert_eq!(again.unseal("endpoint", &sealed).unwrap(), b"whsec_1");
    assert!(again.unseal("other", &sealed).is_err(), "the context is authenticated");
}

#[test]
fn a_salt_lives_until_the_day_after_its_own() {
    let (_dir, keyring) = keyring();
    let monday = keyring.salt_of_day(1).unwrap();
    let tuesday = keyring.salt_of_day(2).unwrap();
    assert_ne!(monday, tuesday);
    assert_eq!(keyring.salt_of_day(1).unwrap(), monday, "yesterday's is kept");
    keyring.salt_of_day(3).unwrap();
    let left: Vec<i64> = {
        let inside = keyring.lock();
        let mut statement = inside.db.prepare("SELECT utc_day FROM salts ORDER BY 1").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(left, [2, 3]);
}

#[test]
fn a_person_is_opened_by_their_own_key_until_it_is_destroyed() {
    let (_dir, keyring) = keyring();
    let (one, two) = (WorkspaceId(1), WorkspaceId(2));
    let person = Person { email: Some("ada@example.com".into()), name: None };
    let sealed = keyring.seal_person(one, "u1", &person).unwrap();
    assert!(!sealed.0.contains("ada"));
    assert_ne!(sealed, keyring.seal_person(one, "u1", &person).unwrap(), "equal persons look different");
    assert_eq!(keyring.open_person(one, "u1", &sealed), Some(person.clone()));
    keyring.seal_person(one, "u2", &person).unwrap();
    keyring.seal_person(two, "u1", &person).unwrap();
    assert_eq!(keyring.open_person(one, "u2", &sealed), None);
    assert_eq!(keyring.open_person(two, "u1", &sealed), None);
    let mut tampered = sealed.clone();
    let last = tampered.0.pop().unwrap();
    tampered.0.push(if last == 'A' { 'E' } else { 'A' });
    assert_eq!(keyring.open_person(one, "u1", &tampered), None);
    assert!(keyring.destroy_customer(one, "u1").unwrap());
    assert!(!keyring.destroy_customer(one, "u1").unwrap());
    assert_eq!(keyring.open_person(one, "u1", &sealed), None);
    keyring.seal_person(one, "u1", &person).unwrap();
    assert_eq!(keyring.open_person(one, "u1", &sealed), None, "a new key does not open the old text");
}

#[test]
fn properties_are_opened_by_their_customers_key_until_it_is_destroyed() {
    let (_dir, keyring) = keyring();
    let one = WorkspaceId(1);
    let properties = serde_json::json!({"plan": "gold", "seats": 3}).as_object().unwrap().clone();
    let sealed = keyring.seal_properties(one, "u1", &properties).unwrap();
    assert!(!sealed.0.contains("gold"));
    assert_eq!(keyring.open_properties(one, "u1", &sealed).unwrap(), Some(properties));
    assert_eq!(keyring.open_properties(one, "u2", &sealed).unwrap(), None);
    assert_eq!(keyring.open_person(one, "u1", &sealed), None, "they are no person");
    assert!(keyring.destroy_customer(one, "u1").unwrap());
    assert_eq!(keyring.open_properties(one, "u1", &sealed).unwrap(), None);
}

#[test]
fn customers_keep_their_keys_over_restarts_and_share_none() {
    let (dir, first) = keyring();
    let one = WorkspaceId(1);
    let person = |n: usize| Person { name: Some(format!("P{n}")), email: None };
    let seal = |keyring: &Keyring, n: usize| keyring.seal_person(one, &format!("u{n}"), &person(n)).unwrap();
    let sealed: Vec<Sealed> = (0..POOL + 5).map(|n| seal(&first, n)).collect();
    drop(first);
    let again = Keyring::open(&dir.path().join("keyring.db")).unwrap();
    let number = |sealed: &Sealed| numbered(sealed).unwrap().0;
    assert_eq!(number(&seal(&again, 3)), number(&sealed[3]), "a customer has one key");
    let fresh = seal(&again, 9_999);
    assert!(sealed.iter().all(|old| number(old) != number(&fresh)));
    let distinct: std::collections::BTreeSet<i64> = sealed.iter().map(number).collect();
    assert_eq!(distinct.len(), sealed.len());
    for (n, sealed) in sealed.iter().enumerate() {
        assert_eq!(again.open_person(one, &format!("u{n}"), sealed), Some(person(n)));
    }
    assert!(again.destroy_key_of(&sealed[7]).unwrap());
    assert_eq!(again.open_person(one, "u7", &sealed[7]), None);
    assert_eq!(again.open_person(one, "u8", &sealed[8]), Some(person(8)));
}

#[test]
fn a_destroyed_key_is_not_left_in_the_files() {
    let (dir, keyring) = keyring();
    let sealed = keyring.seal_person(WorkspaceId(1), "u1", &Person::default()).unwrap();
    let number = numbered(&sealed).unwrap().0;
    let key = key_numbered(&keyring.lock().db, number).unwrap().unwrap();
    let left = || {
        let files = std::fs::read_dir(dir.path()).unwrap();
        let bytes: Vec<Vec<u8>> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
        bytes.iter().any(|bytes| bytes.windows(KEY_BYTES).any(|window| window == key))
    };
    assert!(left());
    keyring.destroy_customer(WorkspaceId(1), "u1").unwrap();
    assert!(!left());
}
