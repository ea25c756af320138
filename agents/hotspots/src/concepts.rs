//! Words of one meaning: 噪音, 噪声 and 太吵 are one complaint. Written by hand for what cities are told.
//!
//! A concept is found by any of its words and counts as one more term of the message. It knows no grammar: 不吵 is 吵.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A concept: its name and the words that say it, in lower case.
type Concept = (&'static str, &'static [&'static str]);

/// All concepts.
const CONCEPTS: &[Concept] = &[
    ("noise", &["噪音", "噪声", "太吵", "很吵", "吵得", "吵闹", "吵死", "嘈杂", "轰鸣", "轰隆", "扰民", "声音大", "声音很大", "刺耳", "喧闹", "睡不着", "无法入睡", "睡不好", "影响睡眠", "无法休息", "没法休息", "影响休息", "noise", "noisy", "loud", "sleep"]),
    ("dust", &["粉尘", "扬尘", "灰尘", "尘土", "灰大", "烟尘", "沙尘", "尘霾", "全是灰", "都是灰", "dust", "dusty"]),
    ("smell", &["臭味", "异味", "恶臭", "臭气", "刺鼻", "难闻", "很臭", "太臭", "气味", "熏人", "发臭", "臭水", "smell", "stench", "stink", "odor", "odour"]),
    ("fumes", &["油烟", "排烟", "烟道", "抽油烟", "净化器", "烟囱", "冒烟", "黑烟", "浓烟", "fumes", "smoke"]),
    ("concrete plant", &["搅拌站", "搅拌厂", "搅拌场", "混凝土", "混泥土", "砂石料", "水泥厂", "concrete"]),
    ("construction", &["工地", "施工", "夜间施工", "开工", "赶工", "打桩", "挖掘机", "渣土车", "construction"]),
    ("night", &["半夜", "深夜", "夜间", "凌晨", "通宵", "彻夜", "夜里", "晚上", "night", "midnight"]),
    ("dancing", &["广场舞", "跳舞", "音响", "音箱", "高音喇叭", "大喇叭", "喇叭", "dancing", "loudspeaker"]),
    ("karaoke", &["ktv", "酒吧", "夜总会", "唱歌", "歌厅", "夜宵", "烧烤", "大排档", "karaoke", "bar"]),
    ("parking", &["车位", "停车", "乱停", "违停", "泊位", "车库", "parking", "parked"]),
    ("tied sale", &["捆绑", "强制购买", "强制销售", "搭售", "强买强卖", "强买", "强卖", "绑定", "必须购买", "必须买", "同时购买", "一起买"]),
    ("house price", &["涨价", "房价", "限价", "价格", "加价", "高价", "捂盘", "price"]),
    ("fee", &["收费", "费用", "乱收费", "物业费", "停车费", "缴费", "多收", "fee", "fees", "charge", "charged"]),
    ("refund", &["退款", "退费", "退钱", "退房", "退还", "不退", "refund"]),
    ("fraud", &["诈骗", "欺诈", "骗钱", "骗子", "骗局", "被骗", "跑路", "集资", "非法集资", "传销", "欺骗", "虚假宣传", "fraud", "scam"]),
    ("property management", &["物业", "业委会", "物管", "landlord"]),
    ("water cut", &["停水", "断水", "没水", "没有水", "无水", "水压", "供水", "自来水", "水太小", "water supply", "no water"]),
    ("water quality", &["水质", "水发黄", "黄水", "浑浊", "水浑", "饮用水", "铁锈", "水垢", "沉淀物", "杂质", "水黄", "水是黄", "水变黄", "漂白粉", "水有味", "discoloured", "brown water"]),
    ("power cut", &["停电", "断电", "没电", "跳闸", "供电", "电压", "电力", "outage", "blackout", "electricity"]),
    ("high voltage", &["高压线", "高压电", "变电站", "电磁辐射", "辐射", "基站", "信号塔"]),
    ("gas", &["燃气", "天然气", "煤气", "漏气", "gas"]),
    ("flood", &["积水", "内涝", "被淹", "淹水", "水淹", "水浸", "倒灌", "渍水", "涝", "flood", "flooded", "flooding"]),
    ("sewage", &["污水", "下水道", "下水管", "排水", "堵塞", "化粪池", "溢出", "粪水", "外溢", "反水", "冒水", "sewage", "sewer", "drain", "drainage"]),
    ("leak", &["漏水", "渗水", "爆管", "水管破裂", "水管爆", "管道破裂", "漏雨", "滴水", "leak", "leaking", "burst"]),
    ("rubbish", &["垃圾", "乱扔", "清运", "乱倒", "脏乱", "卫生差", "不清扫", "清扫", "保洁", "环卫", "garbage", "trash", "rubbish", "litter", "dumping"]),
    ("road surface", &["坑洼", "坑坑洼洼", "路面破", "破损", "破烂", "路面塌", "塌陷", "坑洞", "大坑", "颠簸", "凹凸", "硬化", "沥青", "烂路", "路烂", "pothole", "potholes"]),
    ("manhole", &["井盖", "窨井", "雨箅", "manhole"]),
    ("street light", &["路灯", "不亮", "照明", "漆黑", "黑灯", "摸黑", "streetlight", "streetlights", "street light", "street lights", "street lamp", "street lamps", "lamp", "lamps"]),
    ("traffic light", &["红绿灯", "信号灯", "斑马线", "人行横道", "天桥", "traffic light", "traffic lights", "signal", "crosswalk", "crossing"]),
    ("traffic jam", &["拥堵", "堵车", "塞车", "堵死", "很堵", "太堵", "交通瘫痪", "水泄不通", "congestion", "jam", "jammed", "gridlock"]),
    ("speeding", &["超速", "飙车", "炸街", "改装车", "闯红灯", "逆行", "speeding", "racing"]),
    ("bus", &["公交", "巴士", "班车", "班次", "等车", "发车", "bus", "buses"]),
    ("metro", &["地铁", "轻轨", "轨道交通", "metro", "subway"]),
    ("taxi", &["出租车", "的士", "打表", "拒载", "黑车", "网约车", "滴滴", "taxi", "cab"]),
    ("shared bike", &["共享单车", "单车乱", "电动车", "电瓶车", "摩托", "bike", "bikes", "scooter"]),
    ("charging", &["充电", "充电桩", "飞线", "charging"]),
    ("lift", &["电梯", "困人", "故障停", "升降机", "elevator", "lift"]),
    ("fire safety", &["消防", "火灾", "起火", "着火", "灭火", "失火", "fire", "fires"]),
    ("cracks", &["开裂", "裂缝", "裂纹", "墙裂", "楼板", "沉降", "倾斜", "脱落", "危房", "质量问题", "crack", "cracks"]),
    ("illegal building", &["违建", "违章", "违规建", "私搭", "乱搭", "加建", "违法建", "占道", "侵占", "illegal building"]),
    ("stalls", &["摆摊", "流动摊", "摊贩", "小贩", "占道经营", "菜贩", "早市", "夜市", "vendor", "vendors", "stalls"]),
    ("demolition", &["拆迁", "征地", "征收", "安置", "棚改", "棚户区", "补偿", "旧改", "demolition"]),
    ("late handover", &["交房", "交楼", "收房", "交付", "延期", "逾期", "烂尾", "停工", "复工", "期房", "handover"]),
    ("title deeds", &["房产证", "产权证", "办证", "不动产证", "房本", "产权", "deed"]),
    ("wages", &["工资", "欠薪", "拖欠", "血汗钱", "农民工", "加班", "wages", "salary", "unpaid"]),
    ("social security", &["社保", "医保", "养老金", "退休", "公积金", "低保", "生育津贴"]),
    ("subsidy", &["补贴", "补助", "津贴", "人才新政", "奖励", "subsidy"]),
    ("residence", &["落户", "户口", "户籍", "身份证", "居住证"]),
    ("school place", &["入学", "上学", "学位", "学区", "划片", "就读", "招生", "转学", "读书难", "enrolment", "enrollment"]),
    ("school", &["学校", "小学", "中学", "老师", "教师", "补课", "学生", "培训班", "培训机构", "school", "teacher", "teachers"]),
    ("kindergarten", &["幼儿园", "幼师", "普惠园", "kindergarten"]),
    ("school meals", &["食堂", "午餐", "营养餐", "配餐", "canteen"]),
    ("food", &["食品", "食物中毒", "过期", "变质", "不卫生", "拉肚子", "餐馆", "餐厅", "food", "restaurant"]),
    ("hospital", &["医院", "医生", "看病", "就医", "疫苗", "诊所", "药房", "hospital", "clinic"]),
    ("dogs", &["狗", "犬", "不拴绳", "没牵绳", "dog", "dogs", "barking", "stray"]),
    ("livestock", &["养鸡", "养猪", "养鸭", "养殖", "鸡叫", "公鸡", "猪场"]),
    ("pests", &["老鼠", "鼠患", "蟑螂", "蚊子", "蚊虫", "白蚁", "苍蝇", "马蜂", "rats", "mosquitoes", "pests"]),
    ("trees", &["树木", "大树", "树枝", "砍树", "绿化", "绿地", "草坪", "倒伏", "tree", "trees", "branch"]),
    ("river", &["河道", "河水", "黑臭水体", "湖水", "死鱼", "排污", "河涌", "river", "creek"]),
    ("air", &["空气", "雾霾", "废气", "呼吸", "排放", "air pollution"]),
    ("burning", &["焚烧", "秸秆", "露天烧", "烧垃圾", "鞭炮", "烟花", "爆竹", "burning", "fireworks"]),
    ("heating", &["供暖", "暖气", "不热", "供热", "采暖", "地暖", "室温", "挨冻", "冻得", "heating", "radiator"]),
    ("internet", &["宽带", "网络", "信号差", "没信号", "断网", "无信号", "internet", "broadband"]),
    ("gambling", &["赌博", "麻将", "棋牌", "牌馆", "赌场", "gambling"]),
    ("theft", &["偷窃", "被盗", "盗窃", "小偷", "失窃", "theft", "stolen"]),
    ("crowding tenants", &["群租", "合租", "短租", "日租", "民宿", "隔断"]),
    ("thrown things", &["高空抛物", "抛物", "乱丢", "楼上扔"]),
    ("playground", &["健身器材", "游乐", "滑梯", "球场", "playground"]),
    ("toilet", &["公厕", "厕所", "卫生间", "toilet", "toilets"]),
    ("barrier-free", &["盲道", "无障碍", "轮椅", "残疾", "wheelchair", "disabled"]),
    ("gym card", &["健身", "会员卡", "预付卡", "办卡", "年卡", "私教", "充值", "闭店", "倒闭", "gym", "membership"]),
    ("express", &["快递", "驿站", "快递柜", "外卖", "parcel"]),
];

/// How far a concept's word reaches, characters.
pub(crate) const WORD_CHARS_MAX: usize = 16;

/// The length of a word that stands here; an English one begins and ends where its letters do.
pub(crate) fn word_at(chars: &[char], at: usize, word: &str) -> Option<usize> {
    let mut end = at;
    for c in word.chars() {
        if chars.get(end) != Some(&c) {
            return None;
        }
        end += 1;
    }
    let goes_on = |i: usize| chars.get(i).is_some_and(char::is_ascii_alphanumeric);
    let within = chars.get(at).is_some_and(char::is_ascii_alphanumeric) && (goes_on(end) || at > 0 && goes_on(at - 1));
    (!within).then_some(end - at)
}

/// The longest word of a concept that stands here: its length and the concept.
pub(crate) fn concept_at(chars: &[char], at: usize) -> Option<(usize, &'static str)> {
    // Built once for the life of the program.
    static BY_FIRST: LazyLock<BTreeMap<char, Vec<(&'static str, &'static str)>>> = LazyLock::new(|| {
        let mut table: BTreeMap<char, Vec<(&str, &str)>> = BTreeMap::new();
        for (name, words) in CONCEPTS {
            for word in *words {
                table.entry(word.chars().next().unwrap_or(' ')).or_default().push((word, name));
            }
        }
        table
    });
    let here = BY_FIRST.get(&chars[at])?.iter().filter_map(|(word, name)| word_at(chars, at, word).map(|length| (length, *name)));
    here.max_by_key(|(length, _)| *length)
}
