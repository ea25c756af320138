//! What people call about, and the words they use.
//!
//! A call is put together from an opening, what happened where, a detail, and what the caller wants: many different
//! texts from few phrases, as the hotline knows them. `{a}` stands for the address.

use super::geography::Address;
use rehearsal::Dice;

/// When people call about something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hours {
    /// In working hours mostly.
    Day,
    /// Before and after work.
    Rush,
    /// After dark.
    Night,
}

impl Hours {
    /// How often each hour of the day, by weight.
    pub fn weights(self) -> [u64; 24] {
        match self {
            Hours::Day => [1, 1, 1, 1, 1, 2, 6, 14, 26, 30, 28, 24, 16, 20, 24, 26, 26, 22, 14, 10, 8, 6, 4, 2],
            Hours::Rush => [1, 1, 1, 1, 1, 3, 14, 30, 26, 14, 10, 10, 14, 12, 10, 10, 14, 26, 32, 26, 16, 10, 5, 2],
            Hours::Night => [22, 16, 10, 6, 4, 4, 4, 5, 6, 6, 6, 6, 7, 7, 6, 6, 6, 7, 9, 16, 26, 34, 36, 30],
        }
    }
}

/// Something that people call about.
#[derive(Debug)]
pub struct Matter {
    /// What a work order about it is called.
    pub category: &'static str,
    /// Who gets such a work order.
    pub agency: &'static str,
    /// How many of a day's calls it makes up, by weight.
    pub weight: u64,
    /// When people call about it.
    pub hours: Hours,
    /// Half of such work orders are closed within this time, in minutes.
    pub closed_min: i64,
    zh: &'static [&'static str],
    detail: &'static [&'static str],
    wish: &'static [&'static str],
    en: &'static [&'static str],
}

/// What is called about on any day.
pub const ORDINARY: [Matter; 16] = [
    Matter {
        category: "噪音扰民", agency: "市城管局", weight: 150, hours: Hours::Night, closed_min: 170,
        zh: &["{a}工地夜里还在施工", "{a}楼下有人跳广场舞，音响开得特别大", "{a}烧烤店的抽油烟机整晚嗡嗡响", "{a}楼上装修，电钻从早响到晚", "{a}KTV唱到半夜"],
        detail: &["老人和孩子根本没法睡", "已经连续三天了", "跟他们沟通过，没有用", "关着窗户都听得清清楚楚", "家里有高三学生"],
        wish: &["希望尽快制止", "请安排人过来看看", "要求夜间停工", "请给个答复"],
        en: &["Construction noise at {a} well past eleven at night, we cannot sleep.", "Loud music from the bar at {a}, again. Please send somebody."],
    },
    Matter {
        category: "违章停车", agency: "市交警支队", weight: 130, hours: Hours::Rush, closed_min: 60,
        zh: &["{a}有车堵住了消防通道", "{a}路边停了一排车，公交车都过不去", "{a}人行道被小车占满", "有人把车停在{a}的盲道上", "{a}停着一辆没人管的面包车"],
        detail: &["推婴儿车只能走机动车道", "打了挪车电话没人接", "停了有半个月了", "每天早晚高峰都这样", "救护车来了都进不去"],
        wish: &["请拖走", "请交警来处理", "建议装个监控", "希望管一管"],
        en: &["A van has been blocking the fire lane at {a} since this morning.", "Cars parked all over the pavement at {a}, a wheelchair cannot pass."],
    },
    Matter {
        category: "垃圾清运", agency: "市环卫处", weight: 120, hours: Hours::Day, closed_min: 240,
        zh: &["{a}垃圾桶满了好几天没人收", "{a}有人乱倒建筑垃圾", "{a}垃圾堆到路面上了", "{a}餐馆把泔水倒在路边", "{a}旁边的绿化带里全是垃圾"],
        detail: &["天热味道特别大", "苍蝇满天飞", "下面就是幼儿园", "反映过两次了", "晚上还有人偷着烧"],
        wish: &["请尽快清理", "希望查一下是谁倒的", "请环卫的同志来收一下", "麻烦处理"],
        en: &["Rubbish has not been collected at {a} for four days.", "Somebody dumped building rubble at {a}."],
    },
    Matter {
        category: "路灯故障", agency: "市路灯管理处", weight: 80, hours: Hours::Night, closed_min: 900,
        zh: &["{a}路灯不亮", "{a}一整条街的路灯都黑着", "{a}路灯一闪一闪的", "{a}灯杆歪了", "{a}巷子里的灯坏了"],
        detail: &["下夜班走着害怕", "昨天有人摔了一跤", "坏了一个多星期", "接线盒露在外面", "旁边就是斑马线"],
        wish: &["请来修一下", "希望快点修好", "请转给路灯所", "麻烦登记"],
        en: &["Three street lights are out at {a}.", "The street light at {a} flickers all night."],
    },
    Matter {
        category: "道路坑洼", agency: "市市政道桥处", weight: 90, hours: Hours::Day, closed_min: 1500,
        zh: &["{a}路面有个大坑", "{a}的路坑坑洼洼", "{a}修完管道没有把路补好", "{a}减速带断了，钉子翘着", "{a}人行道地砖松了一片"],
        detail: &["电动车过去颠得厉害", "扎了我的轮胎", "骑车的老人摔了", "有脸盆那么大", "雨天看不见更危险"],
        wish: &["请修补", "希望放个警示牌", "什么时候能修", "请市政的人看看"],
        en: &["There is a deep pothole at {a}, my bicycle wheel is bent.", "Loose paving stones at {a}."],
    },
    Matter {
        category: "井盖破损", agency: "市市政道桥处", weight: 35, hours: Hours::Day, closed_min: 150,
        zh: &["{a}井盖不见了", "{a}井盖翘起来了", "{a}井盖一压就响，像是裂了", "{a}窨井盖陷下去一截"],
        detail: &["用树枝插着提醒大家", "小孩放学都从这里走", "晚上完全看不到", "来往的车很多"],
        wish: &["赶紧派人来", "先围起来吧", "请尽快更换", "怕出事"],
        en: &["A manhole cover is missing at {a}, somebody put a branch in it."],
    },
    Matter {
        category: "占道经营", agency: "市城管局", weight: 70, hours: Hours::Rush, closed_min: 90,
        zh: &["{a}流动摊贩把路占了", "{a}水果店把货摆到马路上", "{a}早餐摊油烟很大", "{a}夜市收摊不打扫"],
        detail: &["行人没地方走", "地上全是油", "说了就骂人", "每天六点就来"],
        wish: &["请城管管一下", "希望规范经营", "能不能划个地方给他们", "请处理"],
        en: &["Street stalls at {a} leave no room to walk."],
    },
    Matter {
        category: "绿化养护", agency: "市园林绿化处", weight: 45, hours: Hours::Day, closed_min: 2000,
        zh: &["{a}有棵树快倒了", "{a}树枝挡住了红绿灯", "{a}行道树生虫，掉了一地", "{a}的草坪被人挖来种菜"],
        detail: &["台风天怕砸到人", "虫子掉在人身上", "窗户都推不开了", "根都露出来了"],
        wish: &["请园林来修剪", "希望打药", "请看一下", "麻烦安排"],
        en: &["A branch hides the traffic light at {a}."],
    },
    Matter {
        category: "供电故障", agency: "市供电公司", weight: 45, hours: Hours::Rush, closed_min: 110,
        zh: &["{a}这栋楼停电了", "{a}电压不稳，空调带不动", "{a}的变压器一直响", "{a}电线垂下来了"],
        detail: &["冰箱里的东西要坏了", "没有接到通知", "楼里有坐轮椅的老人，电梯停了", "跳闸跳了三次"],
        wish: &["什么时候来电", "请派人抢修", "请查一下原因", "给个说法"],
        en: &["No electricity at {a} since an hour ago, was it announced?"],
    },
    Matter {
        category: "水质异常", agency: "市自来水公司", weight: 25, hours: Hours::Day, closed_min: 300,
        zh: &["{a}自来水发黄", "{a}家里的水有股漂白粉味", "{a}水压不够，热水器打不着", "{a}水表走得太快"],
        detail: &["放了十分钟还是黄的", "不敢给孩子喝", "顶楼经常这样", "隔壁也一样"],
        wish: &["请来化验一下", "希望查明原因", "请回复", "能不能喝"],
        en: &["Tap water at {a} is yellow this morning."],
    },
    Matter {
        category: "下水道堵塞", agency: "市排水管理处", weight: 40, hours: Hours::Day, closed_min: 260,
        zh: &["{a}下水道堵了，污水往外冒", "{a}化粪池满了", "{a}雨水篦子被垃圾堵住", "{a}一楼卫生间返水"],
        detail: &["臭得开不了窗", "物业说不归他们管", "流到路上了", "滑倒过人"],
        wish: &["请来疏通", "希望彻底解决", "请排水公司处理", "麻烦快点"],
        en: &["The drain at {a} is blocked and smells."],
    },
    Matter {
        category: "犬只管理", agency: "市公安局", weight: 40, hours: Hours::Rush, closed_min: 400,
        zh: &["{a}有人遛狗不牵绳", "{a}流浪狗成群", "{a}邻居的狗叫一夜", "有狗在{a}咬了人"],
        detail: &["小孩吓哭了", "没打疫苗", "说了不听", "早上六点就开始叫"],
        wish: &["请管一管", "希望抓走", "要求处罚", "请登记"],
        en: &["Stray dogs around {a} frighten the children."],
    },
    Matter {
        category: "违法建设", agency: "市城管局", weight: 35, hours: Hours::Day, closed_min: 4000,
        zh: &["{a}楼顶在加盖房子", "{a}一楼把院子封起来了", "{a}有人占公共绿地搭棚", "{a}拆了承重墙"],
        detail: &["材料就堆在楼道", "影响采光", "怕不安全", "举报过没下文"],
        wish: &["请来查一下", "要求拆除", "请答复处理结果", "希望依法办"],
        en: &["Somebody is building another floor on the roof of {a}."],
    },
    Matter {
        category: "公共交通", agency: "市交通运输局", weight: 40, hours: Hours::Rush, closed_min: 1800,
        zh: &["{a}公交站等了四十分钟没有车", "{a}站牌倒了", "出租车在{a}拒载", "{a}共享单车堆成山"],
        detail: &["上班迟到了", "三趟车连着来然后又没有", "司机态度很差", "盲道都占了"],
        wish: &["建议加车", "请核实", "希望改进", "请反馈"],
        en: &["Bus did not come for forty minutes at {a}."],
    },
    Matter {
        category: "消费维权", agency: "市市场监管局", weight: 60, hours: Hours::Day, closed_min: 2600,
        zh: &["{a}健身房关门跑路了", "在{a}超市买到过期牛奶", "{a}理发店强制办卡", "{a}的装修公司不退定金"],
        detail: &["还有两千多没用完", "有小票", "老板电话打不通", "好几十个人都一样"],
        wish: &["要求退钱", "请市场监管介入", "希望帮忙协调", "请查处"],
        en: &["The gym at {a} closed over night and keeps our money."],
    },
    Matter {
        category: "政策咨询", agency: "市政务服务中心", weight: 110, hours: Hours::Day, closed_min: 120,
        zh: &["我住{a}，想问公积金怎么提取", "住在{a}，请问居住证到期怎么续", "咨询一下{a}这边小学怎么划片", "请问{a}老旧小区加装电梯有没有补贴", "我在{a}开店，想问营业执照怎么变更"],
        detail: &["网上查不到", "窗口说法不一样", "材料都准备好了", "之前没办过"],
        wish: &["请告知流程", "谢谢", "麻烦说一下要带什么", "想预约办理"],
        en: &["I live at {a}. How do I renew my residence permit?"],
    },
];

/// The flood, as people tell it.
pub const FLOOD: Matter = Matter {
    category: "道路积水", agency: "市排水管理处", weight: 0, hours: Hours::Day, closed_min: 130,
    zh: &["{a}积水很深，车都熄火了", "{a}全被淹了", "{a}积水漫到马路牙子上面了", "{a}一下雨就积水，现在到膝盖了", "{a}地下车库被淹，还在进水", "{a}内涝严重，店里进水了", "{a}水从井盖里往上涌，路上一片汪洋"],
    detail: &["有辆小车被困在水里，人还在车上", "水还在涨", "老人小孩出不了门", "公交车绕道了", "看不到路面，有人差点掉井里", "大概有半米深", "排水口全堵了"],
    wish: &["请赶快派人来抽水", "请马上封路", "需要救援", "请通知排水抢险队", "快点来人", "请提醒过往车辆绕行"],
    en: &["The underpass at {a} is flooded, a car is stuck in the water.", "Knee-deep water at {a} and still rising!", "Flooding at {a}, water is coming into our shop."],
};

/// Dry taps.
pub const NO_WATER: Matter = Matter {
    category: "停水", agency: "市自来水公司", weight: 0, hours: Hours::Day, closed_min: 330,
    zh: &["{a}突然停水了", "{a}家里一滴水都没有", "{a}水龙头放不出水", "{a}水压一下子没了", "{a}整栋楼都没水"],
    detail: &["没有通知", "早上还好好的", "隔壁几栋也一样", "饭都做不了", "店里开不了门", "楼下说也停了"],
    wish: &["什么时候来水", "请查一下是不是爆管了", "请派人抢修", "能不能先送水", "请尽快恢复"],
    en: &["No water at {a} since twenty past nine.", "The taps at {a} went dry all of a sudden."],
};

/// Water that comes up through the road.
pub const ROAD_BUBBLES: Matter = Matter {
    category: "供水管网漏损", agency: "市自来水公司", weight: 0, hours: Hours::Day, closed_min: 380,
    zh: &["{a}路面往上冒水，像喷泉一样", "{a}马路中间鼓起来，水咕嘟咕嘟往外冒", "{a}自来水管爆了，水喷了一两米高", "{a}路上全是水，是从地底下冒出来的，没下雨"],
    detail: &["水流得很急", "把沙子都冲出来了", "旁边商铺门口都是水", "车子没法走"],
    wish: &["应该是水管爆裂，赶紧来人", "请关阀", "请供水公司抢修", "请交警来疏导"],
    en: &["Water is bubbling up through the road at {a}, it must be a burst main."],
};

/// The road above the burst.
pub const ROAD_SINKS: Matter = Matter {
    category: "道路塌陷", agency: "市市政道桥处", weight: 0, hours: Hours::Day, closed_min: 700,
    zh: &["{a}路面裂开一道缝，正在往下陷", "{a}地面塌下去一块，下面是空的", "{a}冒水的地方路面塌陷了", "{a}路面沉降，人行道都斜了"],
    detail: &["裂缝有两指宽", "看着越来越大", "有车差点掉进去", "就在冒水的地方旁边"],
    wish: &["很危险，请马上封路", "请围起来", "请派人检测有没有空洞", "赶紧来人"],
    en: &["The road at {a} is cracking and sinking next to the burst pipe. Close it!"],
};

/// Gas.
pub const GAS_SMELL: Matter = Matter {
    category: "燃气泄漏", agency: "市燃气公司抢修中心", weight: 0, hours: Hours::Day, closed_min: 60,
    zh: &["{a}食堂后厨有很浓的煤气味", "{a}闻到刺鼻的燃气味，报警器一直在响", "{a}疑似天然气泄漏"],
    detail: &["里面还有人在吃饭", "我们已经不敢开灯了", "从下水道口飘出来的", "阀门找不到"],
    wish: &["怕爆炸，快来人", "请马上派人来关阀", "请消防和燃气公司过来", "需要疏散吗"],
    en: &["Strong smell of gas in the canteen at {a}, the detector is howling."],
};

/// What a call says and in which language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The words.
    pub text: String,
    /// `zh` or `en`.
    pub language: &'static str,
}

impl Matter {
    /// A caller's words.
    pub fn say(&self, address: &Address, dice: &mut Dice) -> Text {
        if dice.chance(70) {
            return Text { text: dice.pick(self.en).replace("{a}", &address.en), language: "en" };
        }
        let opening = *dice.pick(&["", "", "", "您好，", "你好，我反映一下，", "同志您好，", "我要投诉，", "喂，"]);
        let what = dice.pick(self.zh).replace("{a}", &address.zh);
        let detail = dice.pick(self.detail);
        let wish = dice.pick(self.wish);
        let mut text = match dice.below(4) {
            0 => format!("{opening}{what}。{wish}。"),
            1 => format!("{opening}{what}，{detail}！{wish}！"),
            _ => format!("{opening}{what}，{detail}，{wish}。"),
        };
        if dice.chance(25) {
            // A number that the door must mask.
            let (start, rest) = (dice.pick(&["138", "159", "177", "186"]), dice.below(100_000_000));
            text.push_str(&format!("我的电话是{start}{rest:08}。"));
        }
        Text { text, language: "zh" }
    }

    /// The short text of a work order.
    pub fn describe(&self, address: &Address, dice: &mut Dice) -> String {
        format!("{}，{}", dice.pick(self.zh).replace("{a}", &address.zh), dice.pick(self.detail))
    }
}
