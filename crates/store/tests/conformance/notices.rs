//! Notices: with their change or not at all, taken by one, delivered, tried again, given up.

use std::time::Duration;

use hoop_ledger::{Draft, EventCode};
use hoop_model::{Actor, ChannelName, NoticeId, Timestamp};
use hoop_store::{Conflict, NewEvent, NewNotice, NoticeState, NoticesWaiting, Store, StoredNotice};
use serde_json::json;

use crate::fixtures::*;

crate::cases![
    a_notice_is_there_with_its_change_or_not_at_all,
    whoever_waits_for_notices_is_told_after_the_commit,
    each_channel_has_its_own_in_order,
    a_notice_is_taken_by_one_alone,
    a_taken_one_comes_back_when_nothing_is_heard_of_it,
    a_delivered_one_is_never_taken_again,
    a_failed_one_waits_for_its_time,
    what_is_too_old_is_given_up_with_an_event,
    a_clock_that_was_set_back_keeps_none_waiting,
    one_that_is_not_queued_is_nobodys_to_take,
    old_ones_are_swept_and_waiting_ones_are_not,
    the_list_is_newest_first_and_in_pages,
    hostile_texts_are_kept_as_they_are,
];

fn channel(text: &str) -> ChannelName {
    ChannelName::new(text).unwrap()
}

fn notice(text: &str) -> NewNotice {
    NewNotice {
        id: NoticeId::generate(),
        channel: channel(text),
        topic: "request.created".into(),
        payload: json!({ "title": "ada asks" }),
        created_at: NOW,
        queued: true,
    }
}

fn told(notices: impl IntoIterator<Item = NewNotice>) -> Vec<NewEvent> {
    vec![event(EventCode::UserCreated).with_notices(notices)]
}

async fn write(store: &Store, notices: impl IntoIterator<Item = NewNotice>) {
    store.append(&told(notices)).await.unwrap();
}

async fn take(store: &Store, name: &str, at: Timestamp) -> Option<StoredNotice> {
    store.take_notice(&channel(name), at, at.after(Duration::from_secs(60))).await.unwrap()
}

async fn all(store: &Store) -> Vec<StoredNotice> {
    store.notices(None, 500).await.unwrap().items
}

fn lost(notice: &StoredNotice) -> NewEvent {
    let draft = Draft::new(Actor::System, EventCode::NoticeFailed);
    NewEvent::new(NOW, draft.fact("notice", notice.id.to_string()))
}

async fn a_notice_is_there_with_its_change_or_not_at_all(store: Store) {
    let ada = new_user("ada");
    store.create_user(&ada, &told([notice("ops"), notice("mail")])).await.unwrap();
    assert_eq!(all(&store).await.len(), 2);
    let again = hoop_store::NewUser { id: hoop_model::UserId::generate(), ..ada };
    assert_eq!(conflict(store.create_user(&again, &told([notice("ops")])).await), Conflict::NameTaken);
    assert_eq!(all(&store).await.len(), 2);
    // The other way round: a notice that cannot be written takes its change with it.
    let twice = notice("ops");
    let failed = store.create_user(&new_user("eve"), &told([twice.clone(), twice])).await;
    assert_eq!(conflict(failed), Conflict::NameTaken);
    assert!(store.user_by_name(&name("eve")).await.unwrap().is_none());
    assert_eq!((all(&store).await.len(), size(&store).await), (2, 1));
}

async fn whoever_waits_for_notices_is_told_after_the_commit(store: Store) {
    let mut written = store.notices_written();
    store.append(&events(2)).await.unwrap();
    assert!(!written.has_changed().unwrap());
    let twice = notice("ops");
    store.append(&told([twice.clone(), twice])).await.unwrap_err();
    assert!(!written.has_changed().unwrap());
    write(&store.clone(), [notice("ops")]).await;
    written.changed().await.unwrap();
    assert!(take(&store, "ops", NOW).await.is_some());
}

async fn each_channel_has_its_own_in_order(store: Store) {
    let (first, second, other) = (notice("ops"), notice("ops"), notice("mail"));
    write(&store, [second.clone(), other.clone(), first.clone()]).await;
    assert_eq!(take(&store, "ops", Timestamp::from_micros(NOW.as_micros() - 1)).await, None);
    let taken = take(&store, "ops", NOW).await.unwrap();
    assert_eq!((taken.id, taken.attempts), (first.id, 1));
    assert_eq!((taken.topic.as_str(), &taken.payload), ("request.created", &first.payload));
    assert_eq!(taken.state, NoticeState::Waiting(later(60)));
    assert_eq!(take(&store, "ops", NOW).await.unwrap().id, second.id);
    assert_eq!(take(&store, "ops", NOW).await, None);
    assert_eq!(take(&store, "mail", NOW).await.unwrap().id, other.id);
    assert_eq!(take(&store, "nobody", NOW).await, None);
}

async fn a_notice_is_taken_by_one_alone(store: Store) {
    for _ in 0..5 {
        write(&store, [notice("ops"), notice("ops")]).await;
        let taken = race(8, |_| {
            let store = store.clone();
            async move { take(&store, "ops", NOW).await.map(|notice| notice.id) }
        })
        .await;
        let mut taken: Vec<_> = taken.into_iter().flatten().collect();
        let all = taken.len();
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), all, "one was taken twice");
        // Losing a race costs a turn, never a notice.
        while let Some(notice) = take(&store, "ops", NOW).await {
            assert!(!taken.contains(&notice.id));
            taken.push(notice.id);
        }
        assert_eq!(taken.len(), 2);
    }
}

async fn a_taken_one_comes_back_when_nothing_is_heard_of_it(store: Store) {
    write(&store, [notice("ops")]).await;
    let first = take(&store, "ops", NOW).await.unwrap();
    assert_eq!(take(&store, "ops", later(59)).await, None);
    let second = take(&store, "ops", later(60)).await.unwrap();
    assert_eq!((second.id, second.attempts), (first.id, 2));
}

async fn a_delivered_one_is_never_taken_again(store: Store) {
    write(&store, [notice("ops")]).await;
    let taken = take(&store, "ops", NOW).await.unwrap();
    store.notice_failed(taken.id, Some(later(30)), "the server answered 500").await.unwrap();
    let taken = take(&store, "ops", later(30)).await.unwrap();
    store.notice_delivered(taken.id, later(31)).await.unwrap();
    // A gateway that was slow says that it failed.
    store.notice_failed(taken.id, Some(later(40)), "no answer").await.unwrap();
    let [kept] = &all(&store).await[..] else { panic!("one") };
    assert_eq!((kept.state, &kept.last_error), (NoticeState::Delivered(later(31)), &None));
    for at in [later(40), later(1_000_000)] {
        assert_eq!(take(&store, "ops", at).await, None);
        assert!(store.give_up_notices(at, at, at, lost).await.unwrap().is_empty());
    }
    assert_eq!(store.notices_waiting().await.unwrap(), NoticesWaiting::default());
}

async fn a_failed_one_waits_for_its_time(store: Store) {
    write(&store, [notice("ops")]).await;
    let taken = take(&store, "ops", NOW).await.unwrap();
    store.notice_failed(taken.id, Some(later(30)), &"x".repeat(5000)).await.unwrap();
    assert_eq!(take(&store, "ops", later(29)).await, None);
    let waiting = store.notices_waiting().await.unwrap();
    assert_eq!(waiting, NoticesWaiting { count: 1, oldest: Some(NOW) });
    let again = take(&store, "ops", later(30)).await.unwrap();
    assert_eq!((again.attempts, again.last_error.unwrap().len()), (2, 300));
}

async fn what_is_too_old_is_given_up_with_an_event(store: Store) {
    let fresh = NewNotice { created_at: later(10), ..notice("ops") };
    write(&store, [notice("ops"), fresh, notice("removed")]).await;
    let taken = take(&store, "ops", NOW).await.unwrap();
    store.notice_failed(taken.id, Some(later(5)), "the server answered 500").await.unwrap();
    // One that is being delivered at this moment is left alone.
    assert_eq!(store.give_up_notices(later(10), later(4), later(64), lost).await.unwrap().len(), 1);
    assert!(store.give_up_notices(later(10), later(4), later(5), lost).await.unwrap().is_empty());
    // One that waits for another attempt is not.
    let given_up = store.give_up_notices(later(10), later(3), later(4), lost).await.unwrap();
    assert_eq!(given_up.iter().map(|notice| notice.id).collect::<Vec<_>>(), [taken.id]);
    assert_eq!(given_up.first().unwrap().last_error.as_deref(), Some("the server answered 500"));
    assert_eq!(size(&store).await, 3);
    store.notice_failed(taken.id, Some(later(6)), "late").await.unwrap();
    assert_eq!(store.notices_waiting().await.unwrap().count, 1);
    assert_eq!(all(&store).await.iter().filter(|one| one.state == NoticeState::Failed).count(), 2);
}

async fn a_clock_that_was_set_back_keeps_none_waiting(store: Store) {
    let ahead = later(86_400 * 365);
    write(&store, [NewNotice { created_at: ahead, ..notice("ops") }]).await;
    assert!(take(&store, "ops", NOW).await.is_some());
    assert_eq!(take(&store, "ops", NOW).await, None);
}

async fn one_that_is_not_queued_is_nobodys_to_take(store: Store) {
    let (good, bad) =
        (NewNotice { queued: false, ..notice("ops") }, NewNotice { queued: false, ..notice("ops") });
    write(&store, [good.clone(), bad.clone()]).await;
    assert_eq!(take(&store, "ops", later(1000)).await, None);
    store.notice_delivered(good.id, later(1)).await.unwrap();
    store.notice_failed(bad.id, Some(later(1)), "no answer").await.unwrap();
    assert_eq!(take(&store, "ops", later(1000)).await, None);
    let states: Vec<_> = all(&store).await.iter().map(|one| (one.state, one.attempts)).collect();
    assert_eq!(states, [(NoticeState::Failed, 1), (NoticeState::Delivered(later(1)), 1)]);
}

async fn old_ones_are_swept_and_waiting_ones_are_not(store: Store) {
    let (done, waiting) = (NewNotice { queued: false, ..notice("ops") }, notice("mail"));
    let fresh = NewNotice { queued: false, created_at: later(10), ..notice("ops") };
    write(&store, [done, waiting.clone(), fresh.clone()]).await;
    assert_eq!(store.sweep_notices(later(10)).await.unwrap(), 1);
    let left: Vec<_> = all(&store).await.iter().map(|notice| notice.id).collect();
    assert_eq!(left, [fresh.id, waiting.id]);
}

async fn the_list_is_newest_first_and_in_pages(store: Store) {
    let written: Vec<_> = (0..5).map(|_| notice("ops")).collect();
    write(&store, written.clone()).await;
    let first = store.notices(None, 3).await.unwrap();
    let rest = store.notices(first.next, 3).await.unwrap();
    assert_eq!(rest.next, None);
    let listed: Vec<_> = first.items.iter().chain(&rest.items).map(|notice| notice.id).collect();
    assert_eq!(listed, written.iter().rev().map(|notice| notice.id).collect::<Vec<_>>());
}

async fn hostile_texts_are_kept_as_they_are(store: Store) {
    let text = "'; DROP TABLE notices; --\u{202e}<!channel>\n\"";
    let hostile = NewNotice { topic: text.into(), payload: json!({ "title": text }), ..notice("ops") };
    write(&store, [hostile]).await;
    let taken = take(&store, "ops", NOW).await.unwrap();
    assert_eq!((taken.topic.as_str(), taken.payload), (text, json!({ "title": text })));
    store.notice_failed(taken.id, Some(later(30)), "no\0answer").await.unwrap();
    let again = take(&store, "ops", later(30)).await.unwrap();
    assert_eq!(again.last_error.as_deref(), Some("no\u{fffd}answer"));
}
