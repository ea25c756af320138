//! Usual life: what people report on any day, and what belongs to no incident.

use graph::Graph;

use crate::script::Script;

/// A matter: its type in the words of a work-order system, and what callers say in Chinese and English.
pub(crate) struct Matter {
    pub(crate) kind: &'static str,
    pub(crate) zh: &'static str,
    pub(crate) en: &'static str,
}

const MATTERS: [Matter; 10] = [
    Matter { kind: "噪音扰民", zh: "{place}楼上装修，电钻从早响到晚", en: "Loud music from the bar at {place}, again." },
    Matter { kind: "违章停车", zh: "{place}停车占了消防通道，请交警来处理", en: "A van has been blocking the fire lane at {place} since this morning, parking is a mess." },
    Matter { kind: "占道经营", zh: "{place}流动摊贩占道经营，行人没地方走", en: "A street stall at {place} leaves no room to walk." },
    Matter { kind: "道路坑洼", zh: "{place}人行道地砖松了，有个坑洞", en: "There is a deep pothole at {place}." },
    Matter { kind: "政策咨询", zh: "住在{place}，请问居住证到期怎么续", en: "I live at {place}: how do I renew my residence permit?" },
    Matter { kind: "垃圾清运", zh: "{place}垃圾桶满了两天没人收", en: "Garbage has not been collected at {place}." },
    Matter { kind: "路灯故障", zh: "{place}有一盏路灯不亮", en: "A street light is out at {place}." },
    Matter { kind: "绿化养护", zh: "{place}树枝挡住了红绿灯，请修剪", en: "A broken branch hides the sign at {place}." },
    Matter { kind: "下水道堵塞", zh: "{place}化粪池满了，污水味道很大", en: "The sewer at {place} smells." },
    Matter { kind: "消费维权", zh: "{place}健身房关门了，不退钱", en: "The gym at {place} closed over night and keeps our money." },
];

/// The matters of which nobody can say that they belong to what the script tells of.
pub(crate) fn matters(script: &Script, graph: &Graph) -> Vec<&'static Matter> {
    let tells_of = |text: &str| {
        let told = graph.event_of_report(&graph.sort_text(text).category, text);
        told.is_some_and(|told| script.events.iter().any(|event| event.event.as_deref() == Some(told)))
    };
    MATTERS.iter().filter(|matter| !tells_of(matter.zh) && !tells_of(matter.en)).collect()
}
