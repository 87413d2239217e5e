use super::*;

pub(super) const ONE: WorkspaceId = WorkspaceId(1);

pub(super) fn reads(bench: &Bench) -> Reads {
    Reads::new(bench._dir.path().join("books.db"))
}

fn link(id: u64, spec: Value) -> What {
    let mut body = json!({"destination": "https://shop.example/"});
    body.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    What::LinkCreated { id: LinkId(id), spec: serde_json::from_value(body).unwrap(), spare_slugs: vec![] }
}

#[test]
fn links_are_searched_and_paged() {
    let mut bench = bench();
    for n in 1..=5_u64 {
        bench.apply(link(
            n,
            json!({"slug": format!("s{n}"), "tags": [if n % 2 == 0 { "even" } else { "odd" }]}),
        ));
    }
    bench.apply(link(6, json!({"slug": "z", "title": "100% Wool", "partner_id": PartnerId(3)})));
    bench.apply(What::LinkDeleted { id: LinkId(5) });
    let reads = reads(&bench);
    let list = |filter: LinkFilter, limit, cursor: Option<String>| {
        let page = reads.links(ONE, &filter, &PageOf { limit: Some(limit), cursor }).unwrap();
        (page.data.iter().map(|link| link.id.0).collect::<Vec<_>>(), page.next_cursor)
    };
    let all = LinkFilter::default();
    let (first, cursor) = list(all.clone(), 2, None);
    assert_eq!(first, [6, 4]);
    let (second, cursor) = list(all.clone(), 2, cursor);
    assert_eq!(second, [3, 2]);
    assert_eq!(list(all.clone(), 2, cursor), (vec![1], None));
    let tagged = LinkFilter { tag: Some("even".into()), ..all.clone() };
    assert_eq!(list(tagged, 9, None).0, [4, 2]);
    let search = |text: &str| LinkFilter { search: Some(text.into()), ..all.clone() };
    assert_eq!(list(search("WOOL"), 9, None).0, [6]);
    assert_eq!(list(search("0%"), 9, None).0, [6]);
    assert_eq!(list(search("%5"), 9, None).0, [0; 0], "a percent sign is itself");
    assert_eq!(list(LinkFilter { partner: Some(PartnerId(3)), ..all.clone() }, 9, None).0, [6]);
    for bad in ["x", "c12", "czzzzzzzzzzzzzzzz"] {
        let page = PageOf { limit: None, cursor: Some(bad.into()) };
        assert!(matches!(reads.links(ONE, &all, &page), Err(ReadError::Cursor)), "{bad}");
    }
    assert_eq!(reads.links(WorkspaceId(2), &all, &PageOf::default()).unwrap().data, []);
    assert_eq!(reads.workspace(ONE).unwrap().unwrap().name, "shop");
    assert_eq!(reads.workspace(WorkspaceId(2)).unwrap(), None);
}

#[test]
fn a_customer_and_a_trace_tell_their_story() {
    let mut bench = bench();
    bench.convert(json!({"event": "lead", "customer_id": "u1"}), known(click_id(2, 1)));
    let mut body = sale("A-1", 900);
    body["customer_id"] = json!("u1");
    let old = known(click_id(33, 2));
    let sold = bench.convert(body, old);
    bench.refund(json!({"order_id": "A-1", "amount": {"amount": 100, "currency": "EUR"}}));
    let reads = reads(&bench);
    let id: ConversionId = sold.body["id"].as_str().unwrap().parse().unwrap();
    let trace = reads.trace(ONE, id).unwrap().unwrap();
    let credited: Vec<bool> = trace.candidates.iter().map(|candidate| candidate.credited).collect();
    assert_eq!(credited, [false, true]);
    assert!(trace.candidates[0].reason.contains("30 days"), "{trace:?}");
    assert_eq!(trace.attribution.unwrap().click_id, Some(click_id(2, 1)));
    let profile = reads.customer(ONE, "u1").unwrap().unwrap();
    assert_eq!(profile.lifetime_value, [eur(800)]);
    assert_eq!((profile.orders.len(), profile.touches.len()), (2, 2));
    assert_eq!(reads.customer(ONE, &profile.id.to_string()).unwrap().unwrap(), profile);
    assert_eq!(reads.customer(ONE, "u2").unwrap(), None);
    assert_eq!(reads.conversion(ONE, id).unwrap().unwrap().refunded, Some(eur(100)));
    assert_eq!(reads.conversion(WorkspaceId(2), id).unwrap(), None);
    let of =
        |filter: ConversionFilter| reads.conversions(ONE, &filter, &PageOf::default()).unwrap().data.len();
    assert_eq!(of(ConversionFilter::default()), 2);
    assert_eq!(
        of(ConversionFilter { order_id: Some("A-1".into()), customer: None, ..Default::default() }),
        1
    );
    assert_eq!(of(ConversionFilter { order_id: None, customer: Some("u1".into()), ..Default::default() }), 2);
    assert_eq!(of(ConversionFilter { order_id: None, customer: Some("u2".into()), ..Default::default() }), 0);
}

#[test]
fn effects_are_read_by_whole_facts() {
    let mut bench = bench();
    let claim = ClickClaim::Unresolved { by: ClaimedBy::Wclid, id: click_id(1, 1), link: LINK };
    bench.convert(sale("A-1", 10), claim);
    let reads = reads(&bench);
    assert_eq!(reads.unresolved_clicks(None, 9).unwrap(), [(ONE, click_id(1, 1))]);
    assert_eq!(reads.unresolved_clicks(Some((ONE, click_id(1, 1))), 9).unwrap(), []);
    assert_eq!(reads.unresolved_clicks(Some((ONE, click_id(1, 0))), 9).unwrap(), [(ONE, click_id(1, 1))]);
    bench.apply(What::ClickResolved { click: facts_of(click_id(1, 1)) });
    assert_eq!(reads.unresolved_clicks(None, 9).unwrap(), []);
    bench.convert(sale("A-2", 10), ClickClaim::None);
    let all = reads.effects(0, Sequence::MAX, usize::MAX).unwrap();
    assert_eq!(all, bench.effects());
    assert_eq!(all.len(), 4);
    assert_eq!(reads.effects(0, Sequence::MAX, 2).unwrap(), all[..3], "the second fact is not cut");
    assert_eq!(reads.effects(all[0].seq, all[1].seq, 9).unwrap(), all[1..3]);
    assert_eq!(reads.effects(all[3].seq, Sequence::MAX, 9).unwrap(), []);
}

#[test]
fn deliveries_are_listed_and_merged_conversions_lead_to_the_kept_one() {
    let mut bench = bench();
    bench.deliver("e1", vec![super::deliveries::paid(&["pi_1"], 5)]);
    bench.deliver("e2", vec![super::deliveries::paid(&["in_1"], 5)]);
    let reads = reads(&bench);
    let both = reads.conversions(ONE, &ConversionFilter::default(), &PageOf::default()).unwrap().data;
    assert_eq!(both.len(), 2);
    bench.deliver("e3", vec![super::deliveries::paid(&["pi_1", "in_1"], 5)]);
    let kept: Vec<_> = both.iter().map(|one| reads.conversion(ONE, one.id).unwrap().unwrap().id).collect();
    assert_eq!(kept[0], kept[1]);
    let page = reads.deliveries(ONE, ENDPOINT, &PageOf { limit: Some(2), cursor: None }).unwrap();
    assert_eq!(page.data.iter().map(|d| d.dedupe_key.as_str()).collect::<Vec<_>>(), ["e3", "e2"]);
    let next = PageOf { limit: Some(2), cursor: page.next_cursor };
    assert_eq!(reads.deliveries(ONE, ENDPOINT, &next).unwrap().data[0].dedupe_key, "e1");
    assert_eq!(reads.endpoints(ONE).unwrap()[0].livemode, Some(true));
}
