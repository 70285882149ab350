use super::*;

fn request() -> Request {
    Request::new(RequestId(7), AgentId::new("a").unwrap(), Kind::new("k").unwrap(), Timestamp::ZERO)
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_millis(millis))
}

#[test]
fn a_request_goes_from_pending_to_completed_and_says_how_long_it_took() {
    let mut request = request();
    for (millis, status) in [(1, Status::Validating), (2, Status::Registering), (5, Status::Completed)] {
        assert_eq!(request.processing_time(), None);
        request.advance(status, at(millis)).unwrap();
    }
    assert_eq!(request.processing_time(), Some(Duration::from_millis(5)));
}

#[test]
fn a_request_keeps_when_it_came_to_each_step_in_its_serialised_form_too() {
    let mut request = request().within(Duration::from_millis(9)).location("here");
    assert_eq!((request.validating(), request.registering(), request.ended()), (None, None, None));
    for (millis, status) in [(1, Status::Validating), (2, Status::Registering), (5, Status::Completed)] {
        request.advance(status, at(millis)).unwrap();
    }
    let times = |request: &Request| {
        [Some(request.submitted), request.validating(), request.registering(), request.ended()]
    };
    assert_eq!(times(&request), [0, 1, 2, 5].map(|millis| Some(at(millis))));
    let json = serde_json::to_value(&request).unwrap();
    let told = ["submitted", "validating", "registering", "ended", "deadline"].map(|key| json[key].as_u64());
    assert_eq!(told, [0, 1000, 2000, 5000, 9000].map(Some));
    assert_eq!(serde_json::from_value::<Request>(json).unwrap(), request);
}

#[test]
fn a_request_stays_small_and_a_clone_shares_its_profile() {
    let request = request().capability(Capability::new("sell").unwrap());
    assert!(Arc::ptr_eq(&request.profile, &request.clone().profile));
    assert!(size_of::<Request>() <= 120, "{} bytes", size_of::<Request>());
}

#[test]
fn a_step_that_does_not_follow_is_refused_and_changes_nothing() {
    let mut request = request();
    request.advance(Status::Cancelled, at(3)).unwrap();
    let before = request.clone();
    assert_eq!(
        request.advance(Status::Registering, at(4)).unwrap_err().to_string(),
        "request 7 for agent a is cancelled and cannot become registering: start a new request"
    );
    assert_eq!(request, before);
}

#[test]
fn exactly_the_drawn_arrows_are_legal() {
    let all = [
        Status::Pending,
        Status::Validating,
        Status::Registering,
        Status::Completed,
        Status::Failed("no".into()),
        Status::Cancelled,
    ];
    let mut arrows = Vec::new();
    for from in &all {
        let next: Vec<_> = all.iter().filter(|to| from.may_become(to)).map(Status::as_str).collect();
        assert_eq!(next.is_empty(), from.is_final());
        arrows.push((from.as_str(), next));
    }
    assert_eq!(
        arrows[..3],
        [
            ("pending", vec!["validating", "failed", "cancelled"]),
            ("validating", vec!["registering", "failed", "cancelled"]),
            ("registering", vec!["completed", "failed"]),
        ]
    );
}
