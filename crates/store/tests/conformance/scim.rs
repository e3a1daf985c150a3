//! People and groups that an identity provider provisions.

use hoop_model::{GroupId, GroupName, Role, UserId};
use hoop_store::{
    Conflict, GroupStep, NewScimUser, OidcUser, Proof, ScimChange, ScimGroup, Store, User, UserChange,
};

use crate::fixtures::*;

crate::cases![
    a_person_is_provisioned_once_and_comes_back,
    the_providers_groups_win_over_a_sign_ins,
    switching_off_and_locking_do_not_undo_each_other,
    admins_and_builtin_accounts_are_out_of_reach,
    a_group_that_an_admin_is_in_can_be_taken_away,
    members_come_and_go,
    a_step_that_fails_undoes_all,
    people_are_found_and_paged,
];

const ISSUER: &str = "https://idp.example";

fn new_person(subject: &str, text: &str) -> NewScimUser {
    NewScimUser {
        id: UserId::generate(),
        issuer: ISSUER.into(),
        subject: subject.into(),
        name: name(text),
        active: true,
        at: NOW,
    }
}

async fn person(store: &Store, subject: &str, text: &str) -> User {
    store.provision_user(&new_person(subject, text), |_| Vec::new()).await.unwrap()
}

fn signs_in(subject: &str, text: &str, role: Option<Role>) -> OidcUser {
    OidcUser {
        id: UserId::generate(),
        issuer: ISSUER.into(),
        subject: subject.into(),
        name: name(text),
        groups: groups(&["from-claim"]),
        role,
        at: NOW,
    }
}

fn new_group(text: &str, members: &[&User]) -> ScimGroup {
    ScimGroup {
        id: GroupId::generate(),
        name: GroupName::new(text).unwrap(),
        external_id: None,
        members: members.iter().map(|user| user.id).collect(),
    }
}

async fn groups_of(store: &Store, user: &User) -> Vec<String> {
    let user = store.user(user.id).await.unwrap().unwrap();
    user.groups.iter().map(ToString::to_string).collect()
}

async fn a_person_is_provisioned_once_and_comes_back(store: Store) {
    let ada = store.provision_user(&new_person("1", "ada"), |_| events(1)).await.unwrap();
    assert_eq!((ada.role, ada.locked, size(&store).await), (Role::User, false, 1));
    let again = store.provision_user(&new_person("1", "other"), |_| events(1)).await;
    assert_eq!(conflict(again), Conflict::NameTaken);
    let same_name = store.provision_user(&new_person("2", "ADA"), |_| events(1)).await;
    assert_eq!(conflict(same_name), Conflict::NameTaken);
    store.remove_provisioned(ada.id, NOW, &[]).await.unwrap();
    assert_eq!(store.provisioned_user(ada.id).await.unwrap(), None);
    not_found(store.remove_provisioned(ada.id, NOW, &[]).await);
    assert!(store.user(ada.id).await.unwrap().unwrap().locked);
    let back = person(&store, "1", "ada2").await;
    assert_eq!((back.id, back.locked, back.name), (ada.id, false, name("ada2")));
    assert_eq!(size(&store).await, 1);
}

async fn the_providers_groups_win_over_a_sign_ins(store: Store) {
    // Who signed in before is found by issuer and subject, and by nothing else.
    let known = store.upsert_oidc(&signs_in("1", "ada", None), |_, _| vec![]).await.unwrap();
    let ada = person(&store, "1", "ada.l").await;
    assert_eq!((ada.id, ada.groups.len()), (known.id, 0));
    store.create_group(&new_group("dba", &[&ada]), NOW, &[]).await.unwrap();
    let signed_in = store.upsert_oidc(&signs_in("1", "renamed", None), |_, _| vec![]).await.unwrap();
    assert_eq!((signed_in.name, signed_in.groups), (name("ada.l"), groups(&["dba"])));
    // The name of somebody provisioned opens no way in for another identity.
    let thief = store.upsert_oidc(&signs_in("9", "ada.l", None), |_, _| vec![]).await;
    assert_eq!(conflict(thief), Conflict::NameTaken);
}

async fn switching_off_and_locking_do_not_undo_each_other(store: Store) {
    let ada = person(&store, "1", "ada").await;
    store.create_login(&new_login(ada.id), &[], &Proof::Provider, &[]).await.unwrap();
    let switch = |active| ScimChange { active: Some(active), ..ScimChange::default() };
    let lock = |locked| UserChange { locked: Some(locked), ..UserChange::default() };
    let off = store.change_provisioned(ada.id, &switch(false), NOW, &events(1)).await.unwrap();
    assert!(off.locked && store.logins_of(ada.id, NOW).await.unwrap().is_empty());
    assert!(store.change_user(ada.id, &lock(false), NOW, &[]).await.unwrap().locked);
    store.change_user(ada.id, &lock(true), NOW, &[]).await.unwrap();
    assert!(store.change_provisioned(ada.id, &switch(true), NOW, &[]).await.unwrap().locked);
    assert!(!store.change_user(ada.id, &lock(false), NOW, &[]).await.unwrap().locked);
    let refused = store.create_login(&new_login(ada.id), &[], &Proof::Provider, &[]).await;
    assert!(refused.is_ok());
}

async fn admins_and_builtin_accounts_are_out_of_reach(store: Store) {
    let root = store.upsert_oidc(&signs_in("1", "root", Some(Role::Admin)), |_, _| vec![]).await.unwrap();
    let adopted = store.provision_user(&new_person("1", "root"), |_| events(1)).await;
    assert_eq!(conflict(adopted), Conflict::OtherName);
    let builtin = user(&store, "builtin").await;
    for nobody in [root.id, builtin.id] {
        not_found(store.change_provisioned(nobody, &ScimChange::default(), NOW, &events(1)).await);
        not_found(store.remove_provisioned(nobody, NOW, &events(1)).await);
    }
    not_found(store.create_group(&new_group("dba", &[&builtin]), NOW, &events(1)).await);
    // Somebody who became an admin later, too.
    let eve = person(&store, "2", "eve").await;
    let group = store.create_group(&new_group("dba", &[&eve]), NOW, &[]).await.unwrap();
    let raise = UserChange { role: Some(Role::Admin), ..UserChange::default() };
    store.change_user(eve.id, &raise, NOW, &[]).await.unwrap();
    let off = ScimChange { active: Some(false), ..ScimChange::default() };
    assert_eq!(conflict(store.change_provisioned(eve.id, &off, NOW, &events(1)).await), Conflict::OtherName);
    assert_eq!(conflict(store.remove_provisioned(eve.id, NOW, &events(1)).await), Conflict::OtherName);
    // What is given is not given to them.
    let leads = store.create_group(&new_group("leads", &[]), NOW, &[]).await.unwrap();
    let more = [GroupStep::Add(vec![eve.id])];
    assert_eq!(conflict(store.change_group(leads.id, &more, &events(1)).await), Conflict::OtherName);
    assert_eq!(size(&store).await, 0);
    assert_eq!(groups_of(&store, &eve).await, ["dba"]);
    // A list that names them is taken without them: it says who else is out.
    let (ada, bob) = (person(&store, "3", "ada").await, person(&store, "4", "bob").await);
    store.change_group(leads.id, &[GroupStep::Add(vec![ada.id])], &[]).await.unwrap();
    let list = [GroupStep::Replace(vec![eve.id, bob.id])];
    assert_eq!(store.change_group(leads.id, &list, &[]).await.unwrap().members, [bob.id]);
    assert_eq!(
        (groups_of(&store, &ada).await.len(), groups_of(&store, &eve).await),
        (0, vec!["dba".to_owned()])
    );
    // What is taken away is gone for them too: by a change, another name, or the group's end.
    let rename = [GroupStep::Rename("root".parse().unwrap())];
    assert!(store.change_group(group.id, &rename, &[]).await.unwrap().members.is_empty());
    assert_eq!(groups_of(&store, &eve).await.len(), 0, "neither the old name nor the new one");
}

async fn a_group_that_an_admin_is_in_can_be_taken_away(store: Store) {
    let (eve, ada) = (person(&store, "1", "eve").await, person(&store, "2", "ada").await);
    let mut groups = Vec::new();
    for name in ["one", "two", "three"] {
        groups.push(store.create_group(&new_group(name, &[&eve, &ada]), NOW, &[]).await.unwrap());
    }
    let raise = UserChange { role: Some(Role::Admin), ..UserChange::default() };
    store.change_user(eve.id, &raise, NOW, &[]).await.unwrap();
    store.change_group(groups[0].id, &[GroupStep::Remove(vec![eve.id])], &[]).await.unwrap();
    store.change_group(groups[1].id, &[GroupStep::Replace(vec![])], &[]).await.unwrap();
    store.remove_group(groups[2].id, &[]).await.unwrap();
    assert_eq!(
        (groups_of(&store, &eve).await.len(), groups_of(&store, &ada).await),
        (0, vec!["one".to_owned()])
    );
}

async fn members_come_and_go(store: Store) {
    let (ada, eve) = (person(&store, "1", "ada").await, person(&store, "2", "eve").await);
    let dba = store.create_group(&new_group("dba", &[&ada]), NOW, &events(1)).await.unwrap();
    store.create_group(&new_group("a-team", &[&ada, &eve]), NOW, &[]).await.unwrap();
    assert_eq!(
        conflict(store.create_group(&new_group("dba", &[]), NOW, &events(1)).await),
        Conflict::NameTaken
    );
    assert_eq!(groups_of(&store, &ada).await, ["a-team", "dba"]);
    let steps = [
        GroupStep::Add(vec![eve.id, eve.id]),
        GroupStep::Remove(vec![ada.id, UserId::generate()]),
        GroupStep::Rename(GroupName::new("owners").unwrap()),
        GroupStep::ExternalId("x1".into()),
    ];
    let changed = store.change_group(dba.id, &steps, &[]).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.members.as_slice()), ("owners", [eve.id].as_slice()));
    assert_eq!(groups_of(&store, &ada).await, ["a-team"]);
    assert_eq!(groups_of(&store, &eve).await, ["a-team", "owners"]);
    assert_eq!(store.groups(None, Some("x1"), 0, 9).await.unwrap(), (1, vec![changed]));
    assert_eq!(store.groups(Some("a-team"), None, 0, 9).await.unwrap().0, 1);
    // Who is removed is in no group, and comes back into none.
    store.remove_provisioned(eve.id, NOW, &[]).await.unwrap();
    person(&store, "2", "eve").await;
    assert_eq!(groups_of(&store, &eve).await, Vec::<String>::new());
    store.remove_group(dba.id, &[]).await.unwrap();
    not_found(store.remove_group(dba.id, &events(1)).await);
    assert_eq!((store.group(dba.id).await.unwrap(), size(&store).await), (None, 1));
}

async fn a_step_that_fails_undoes_all(store: Store) {
    let ada = person(&store, "1", "ada").await;
    let dba = store.create_group(&new_group("dba", &[]), NOW, &[]).await.unwrap();
    let steps = [GroupStep::Add(vec![ada.id]), GroupStep::Add(vec![UserId::generate()])];
    not_found(store.change_group(dba.id, &steps, &events(1)).await);
    assert_eq!(store.group(dba.id).await.unwrap(), Some(dba));
    assert_eq!((groups_of(&store, &ada).await.len(), size(&store).await), (0, 0));
}

async fn people_are_found_and_paged(store: Store) {
    for number in 0..5 {
        person(&store, &number.to_string(), &format!("p{number}")).await;
    }
    user(&store, "builtin").await;
    let page = store.provisioned_users(None, None, 3, 9).await.unwrap();
    assert_eq!((page.total, page.users.len()), (5, 2));
    let page = store.provisioned_users(Some(&name("P3")), None, 0, 9).await.unwrap();
    assert_eq!((page.total, page.users[0].name.as_str()), (1, "p3"));
    assert_eq!(store.provisioned_users(None, Some("4"), 0, 9).await.unwrap().total, 1);
    assert_eq!(store.provisioned_users(Some(&name("builtin")), None, 0, 9).await.unwrap().total, 0);
}
