//! Problem orders are found and good ones left alone: labelled orders in Chinese and English, made up here by chance, with
//! courtesies, places inside texts, short but clear texts, and long answers that say nothing.

mod city;

use std::collections::BTreeMap;

use brain::Effect;
use city::{Chance, City, at, decisions, minutes};
use schemas::journal::*;

/// A kind of matter: the type that is chosen, texts, and answers that say what was done.
struct Kind {
    chosen: &'static str,
    texts: &'static [&'static str],
    answers: &'static [&'static str],
}

const KINDS: [Kind; 8] = [
    Kind {
        chosen: "路灯故障",
        texts: &["路灯不亮好几天了，晚上走路害怕", "整排路灯白天亮晚上灭", "路燈忽明忽暗", "The street light has been out for a week", "Streetlight flickers all night"],
        answers: &["已更换两盏路灯灯泡，恢复照明", "经查为电缆被挖断，已接通，路灯恢复正常", "Replaced the lamp of the street light, working again", "灯杆已扶正，灯泡换新"],
    },
    Kind {
        chosen: "市區道路坑洞處理",
        texts: &["路面有个大坑，电动车差点摔倒", "道路坑洼不平，下雨积成水坑", "Deep pothole damaged my tyre", "Pothole in the right lane getting bigger", "路面破损严重"],
        answers: &["已用沥青填补坑洞，路面平整", "Pothole filled with asphalt on Tuesday", "路面破损处已铣刨重铺12平方米", "Patched the road surface"],
    },
    Kind {
        chosen: "路面積淹水",
        texts: &["积水到膝盖，车开不过去", "下雨就淹水，商铺都进水了", "The underpass is flooded again", "Street flooding after every rain", "路口积水半小时不退"],
        answers: &["已调泵车抽排，积水退去，并清掏雨水口3处", "Pumped the standing water, cleared two storm inlets", "疏通雨水管道40米，积水已消退", "雨水箅子被树叶堵住，清理后水退了"],
    },
    Kind {
        chosen: "噪音",
        texts: &["工地半夜施工噪音大，睡不着", "广场舞音响扰民到十点", "Loud music every night until 2 am", "Barking dog all day next door", "楼下酒吧噪声很吵"],
        answers: &["已责令工地夜间停工，噪声复测合格", "已劝导广场舞队伍调低音响", "Officers visited, the music was turned down", "酒吧已装隔音门，夜间复测45分贝"],
    },
    Kind {
        chosen: "大型廢棄物清運",
        texts: &["垃圾堆了一个星期没人清", "有人偷倒建筑垃圾渣土", "Garbage has not been collected for two weeks", "Illegal dumping of old furniture", "垃圾桶满了臭气熏天"],
        answers: &["已清运垃圾两车，并增加清运频次", "渣土已清走，安装了监控探头", "Bulk items removed, area swept", "垃圾桶已更换，每日清两次"],
    },
    Kind {
        chosen: "停车",
        texts: &["违停车辆堵住消防通道", "占道停车，公交车过不去", "A car is parking on the sidewalk every day", "Blocked driveway, I cannot leave", "人行道上乱停车"],
        answers: &["已对违停车辆拍照处罚并拖离", "增设禁停标线和隔离桩", "Vehicle ticketed and towed", "交警到场劝离三辆车"],
    },
    Kind {
        chosen: "路樹處理",
        texts: &["大树倒了，压住了电动车", "树枝断了挂在半空，很危险", "A tree fell across the sidewalk", "Broken branch hanging over the playground", "路树遮住了红绿灯"],
        answers: &["倒伏树木已锯断清走", "已修剪枯枝6处", "Tree removed by the crew, stump ground down", "枯枝已修剪，绿化带已恢复"],
    },
    Kind {
        chosen: "供暖",
        texts: &["家里暖气不热，室温只有14度", "供暖管道停了两天，老人受不了", "No heat in the whole building since Monday", "Radiators cold, the heating does not work", "暖气片一半热一半凉"],
        answers: &["换热站水泵已修复，入户测温20度", "已排气，暖气恢复，室温19度", "Boiler repaired, heat restored", "热力管网调平，供暖正常"],
    },
];

const PLACES: [&str; 10] = ["中山路", "解放路", "湖滨路", "学院路", "沿江大道", "和平街", "Main Street", "Oak Avenue", "River Road", "丽景花园小区"];
const COURTESIES: [(&str, &str); 6] =
    [("", ""), ("您好，", "，请尽快处理，谢谢"), ("市民来电反映：", "。希望相关部门抓紧解决"), ("", "！！！"), ("你好！", "，麻烦帮忙看看"), ("领导好，", "，已经反映很多次了")];
const EMPTY_TEXTS: [&str; 16] = [
    "有问题，请处理",
    "请尽快解决一下，谢谢",
    "这个事情很严重，希望领导关注",
    "同上",
    "还是老样子，没人管",
    "您好，麻烦来看看",
    "情况如附件图片",
    "请有关部门帮忙解决问题",
    "见图",
    "Please help",
    "There is a problem here, please fix it asap",
    "Same issue as before",
    "Something is wrong, need help",
    "See attached photo",
    "very bad, please do something",
    "反映情况，要求处理",
];
const EMPTY_ANSWERS: [&str; 14] = [
    "",
    "已处理",
    "已办结。",
    "您的留言已收悉，已转相关部门处理，感谢您对我们工作的支持！",
    "网友您好，您反映的问题已转交责任单位办理。",
    "已按规定处理完毕",
    "情况属实，正在处理",
    "您好！来信收悉。我单位高度重视，将进一步加强管理。感谢您的理解与监督！",
    "Closed",
    "Case closed. Thank you.",
    "Your request has been forwarded to the appropriate department.",
    "Resolved",
    "Service request completed",
    "已联系市民，市民表示知晓",
];
const NO_ADDRESS: [Option<&str>; 6] = [None, Some("不详"), Some("unknown"), Some("本市"), Some("见描述"), Some("n/a")];
/// Texts that name no place that can be found.
const NOWHERE: [&str; 6] = ["小区门口", "我们这条街上", "家附近", "单位楼下", "Near my house: ", "On our street: "];
/// Kinds that people take for one another without harm are no wrong category.
const ALIKE: [(usize, usize); 1] = [(1, 2)];

struct Order {
    label: Option<&'static str>,
    chosen: &'static str,
    text: String,
    address: Option<String>,
    answer: String,
    closed_after_minutes: i64,
}

fn other_kind(chance: &mut Chance, kind: usize) -> usize {
    loop {
        let other = chance.below(KINDS.len() as u64) as usize;
        if other != kind && !ALIKE.contains(&(kind.min(other), kind.max(other))) {
            return other;
        }
    }
}

fn order(chance: &mut Chance, number: i64) -> Order {
    let kind = chance.below(KINDS.len() as u64) as usize;
    let (before, after) = COURTESIES[chance.below(6) as usize];
    let said = chance.of(KINDS[kind].texts);
    let place = format!("{}{}", chance.of(&PLACES), number);
    let in_text = chance.percent(30);
    let mut order = Order {
        label: None,
        chosen: KINDS[kind].chosen,
        text: format!("{before}{}{said}{after}", if in_text { chance.of(&["解放路菜场旁", "学院路第三小学门口", "At 12 Oak Street: ", "沿江大道与和平街交叉口"]) } else { "" }),
        address: if in_text { None } else { Some(format!("{place}号")) },
        answer: format!("{}{}", chance.of(&["", "", "您好，您反映的问题已收悉。", "经现场核实，"]), chance.of(KINDS[kind].answers)),
        closed_after_minutes: chance.between(60, 5000),
    };
    match chance.below(10) {
        0 => {
            order.label = Some("missing_address");
            order.address = NO_ADDRESS[chance.below(6) as usize].map(str::to_owned);
            order.text = format!("{before}{}{said}{after}", if chance.percent(50) { chance.of(&NOWHERE) } else { "" });
        }
        1 => {
            order.label = Some("wrong_category");
            order.chosen = KINDS[other_kind(chance, kind)].chosen;
            // The answer fits the text.
        }
        2 => {
            order.label = Some("vague_text");
            order.text = chance.of(&EMPTY_TEXTS).to_owned();
            order.address = Some(format!("{place}号"));
        }
        3 => {
            order.label = Some("answer_mismatch");
            let other = other_kind(chance, kind);
            order.answer = chance.of(KINDS[other].answers).to_owned();
        }
        4 => {
            order.label = Some("unjustified_close");
            match chance.below(4) {
                0 => order.closed_after_minutes = chance.between(0, 4),
                _ => order.answer = chance.of(&EMPTY_ANSWERS).to_owned(),
            }
        }
        _ => {}
    }
    order
}

#[test]
fn problem_orders_are_found_and_good_ones_left_alone() {
    let mut chance = Chance(42);
    let mut city = City::new();
    city.order(at("2026-07-01T08:00"), "first", "路灯故障", "工农路1号");
    city.close(at("2026-07-01T12:00"), "first", "已更换路灯灯泡");
    let (mut found, mut missed, mut false_alarms, mut good) = (0, 0, 0, 0);
    let mut by_name: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let mut surprises = Vec::new();
    let count = 1000;
    for number in 0..count {
        let order = order(&mut chance, number + 1);
        let time = at("2026-07-02T08:00") + minutes(number * 400);
        let request = format!("w{number}");
        let created = WorkOrderCreated {
            request_id: request.clone(),
            category: Some(order.chosen.to_owned()),
            description: Some(order.text.clone()),
            address: order.address.clone(),
            district: Some(format!("d{}", number % 50)),
            ..WorkOrderCreated::default()
        };
        let mut effects = city.hears(time, "orders", Body::WorkOrder(WorkOrder::Created(created)));
        // Closed before the next one comes, on the order's own clock.
        let after = minutes(order.closed_after_minutes.min(390));
        effects.extend(city.close(time + after, &request, &order.answer));
        let findings = findings(&effects);
        match (order.label, findings.is_empty()) {
            (Some(_), false) => found += 1,
            (Some(_), true) => missed += 1,
            (None, false) => false_alarms += 1,
            (None, true) => good += 1,
        }
        if let Some(label) = order.label {
            let counts = by_name.entry(label).or_default();
            counts.0 += 1;
            counts.1 += u32::from(findings.iter().any(|(name, _)| name == label));
        }
        if order.label.is_none() != findings.is_empty() {
            surprises.push(format!("  {:?} in `{}` at {:?}, `{}`: {findings:?}", order.label, order.text, order.address, order.answer));
        }
    }
    let (recall, precision) = (f64::from(found) / f64::from(found + missed), f64::from(found) / f64::from(found + false_alarms));
    println!("quality: {count} orders, {} of them problem orders: recall {recall:.3}, precision {precision:.3} ({good} good ones left alone)", found + missed);
    for (name, (there, seen)) in by_name {
        println!("  {name}: {seen} of {there} named as such");
    }
    println!("{}", surprises.iter().take(12).cloned().collect::<Vec<_>>().join("\n"));
    assert!(recall >= 0.9 && precision >= 0.85, "recall {recall:.3}, precision {precision:.3}");
}

fn findings(effects: &[Effect]) -> Vec<(String, String)> {
    decisions(effects).into_iter().filter(|it| it.kind == "quality").map(|it| (it.outcome.clone(), it.reason.clone())).collect()
}

#[test]
fn a_source_that_never_answers_is_not_judged_for_it() {
    let mut city = City::new();
    let close = |city: &mut City, number: i64, answer: &str| {
        let request = format!("w{number}");
        city.order(at("2026-07-02T08:00") + minutes(number * 300), &request, "路灯故障", &format!("中山路{}号", number * 100));
        findings(&city.close(at("2026-07-02T12:00") + minutes(number * 300), &request, answer))
    };
    assert_eq!(close(&mut city, 1, "closed"), []);
    assert_eq!(close(&mut city, 2, ""), []);
    assert_eq!(close(&mut city, 3, "已更换灯泡三只"), []);
    assert_eq!(close(&mut city, 4, ""), [("unjustified_close".to_owned(), "closed without an answer".to_owned())]);
    assert_eq!(close(&mut city, 5, "closed"), [("unjustified_close".to_owned(), "the answer says nothing: `closed`".to_owned())]);
}

#[test]
fn who_asks_a_question_needs_no_place_and_a_station_is_not_judged() {
    let mut city = City::new();
    let question = HotlineMessage { message_id: "m1".to_owned(), text: "请问公积金怎么提取".to_owned(), ..HotlineMessage::default() };
    assert_eq!(findings(&city.hears(at("2026-07-02T08:00"), "hotline", Body::Hotline(question))), []);
    assert_eq!(findings(&city.station(at("2026-07-02T08:00"), "gas_explosion", "d1", 1, None)), []);
    // A type of another system's list says something to that system, if not to us.
    city.order(at("2026-07-02T09:00"), "w1", "ECC-Vehicle Look Up", "中山路88号");
    assert_eq!(findings(&city.told), []);
}
