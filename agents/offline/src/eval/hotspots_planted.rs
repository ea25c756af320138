//! Messages of known matters, made from hand-written phrases: one matter in many words, the same matter at other
//! places, other matters at the same place, slips of the pen, callers who call again.
//!
//! The topics are in two parts: one to develop with, one that is only measured.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use crate::hotspots::Row;

/// Which topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Those that the method may be developed with.
    Development,
    /// Those that are only measured.
    HeldOut,
}

/// What is wrong, what it does, and what is asked for; each in several words.
struct Topic {
    wrong: &'static [&'static str],
    does: &'static [&'static str],
    ask: &'static [&'static str],
}

const DEVELOPMENT: &[Topic] = &[
    Topic {
        wrong: &["商业街的酒吧音乐放到凌晨两点", "楼下酒吧每晚低音炮震天响", "几家酒吧深夜大声放歌", "酒吧营业到后半夜，音响开得很大", "夜里酒吧唱歌喧闹不停", "酒吧的重低音整栋楼都听得见"],
        does: &["老人孩子根本睡不着", "吵得全楼无法入睡", "影响大家休息", "第二天上班没精神", "噪音已经超标", "孩子被吵醒好几次"],
        ask: &["请管一管", "希望限制营业时间", "能不能查一下有没有手续", "报警也没用", "要求整改隔音", "何时能安静"],
    },
    Topic {
        wrong: &["自来水发黄，还有沉淀", "打开水龙头流出来的是黄水", "家里的水浑浊发黄", "水管里放出来的水像泥汤", "水质很差，水里有铁锈", "洗澡水都是黄的"],
        does: &["不敢喝", "白衣服洗黄了", "烧开后有一层水垢", "只好买桶装水做饭", "孩子身上起疹子", "净水器三天就堵"],
        ask: &["请水务公司检测水质", "希望更换老旧水管", "到底能不能饮用", "请公布检测结果", "要求冲洗管网", "盼给个说法"],
    },
    Topic {
        wrong: &["电梯三天两头坏", "电梯又停了，困了人", "电梯经常卡在半空", "两部电梯坏了一部，另一部也抖得厉害", "电梯故障频繁没人修", "乘电梯时突然下坠"],
        does: &["老人爬不了十八楼", "坐一次怕一次", "上周困了一个孕妇", "上下班排队半小时", "轮椅下不来楼", "安全隐患太大"],
        ask: &["请动用维修资金更换", "要求质监局检查", "物业说没钱修", "希望马上维修", "谁来保障安全", "请督促维保单位"],
    },
    Topic {
        wrong: &["开发商延期交房一年了", "说好去年底交楼，到现在没动静", "楼盘停工，交房遥遥无期", "工地早就没人施工，房子烂尾", "逾期交付还不赔违约金", "期房成了烂尾楼"],
        does: &["一边还房贷一边租房", "孩子落户上学都耽误了", "首付是全家的积蓄", "售楼部已经人去楼空", "一拖再拖没有准信", "业主群里天天有人哭"],
        ask: &["要求督促复工", "请查预售资金去向", "希望按合同赔偿", "什么时候能收房", "请住建局介入", "要求退房"],
    },
    Topic {
        wrong: &["路灯坏了半个月没人修", "一到晚上整条路漆黑一片", "沿线的路灯全不亮", "路灯只亮了两三盏", "没有照明，夜里伸手不见五指", "路灯白天亮晚上灭"],
        does: &["下晚自习的学生很害怕", "上周有人摔进沟里", "骑车差点撞到人", "女同志不敢走", "老人散步摔伤了", "夜跑的人都改道了"],
        ask: &["请派人检修", "希望恢复照明", "请路灯所看一下", "到底归谁管", "要求装新灯", "打了几次热线没结果"],
    },
    Topic {
        wrong: &["几十只流浪狗成群出没", "野狗追着人咬", "流浪犬越来越多", "有人喂养的流浪狗到处跑", "一群没主的大狗在院里游荡", "恶犬没人牵绳"],
        does: &["昨天咬伤一个小孩", "接送孩子要绕着走", "半夜狗叫个不停", "地上都是狗屎", "快递员被咬了", "老人不敢下楼"],
        ask: &["请公安派人捕捉", "希望收容", "要求物业处理", "请打狗队来一趟", "别等出人命再管", "望整治"],
    },
];

const HELD_OUT: &[Topic] = &[
    Topic {
        wrong: &["烧烤店油烟直排", "餐馆的烟道对着居民窗户", "饭店把油烟排到楼道里", "夜宵摊烟熏火燎", "楼下餐饮没装油烟净化器", "厨房排风口朝着我家阳台"],
        does: &["家里不敢开窗", "一屋子都是油烟味", "衣服晾出去全是味道", "呛得孩子咳嗽", "墙都熏黑了", "老人哮喘又犯了"],
        ask: &["请环保部门查处", "要求加装净化设备", "希望取缔", "城管来过又反弹", "能不能让他们改烟道", "申请检测排放"],
    },
    Topic {
        wrong: &["地下车库一下雨就进水", "车库积水齐膝深", "暴雨后地库被淹", "排水泵不工作，车库内涝", "雨水倒灌进地下停车场", "车库成了水塘"],
        does: &["十几辆车泡了水", "发动机报废了", "电瓶车也被淹", "车主自己舀水", "配电房差点短路", "没人通知挪车"],
        ask: &["要求物业赔偿", "请检查排水设施", "每年都这样何时是头", "希望改造管网", "开发商设计有缺陷", "请应急局关注"],
    },
    Topic {
        wrong: &["健身房突然关门，老板失联", "健身会所卷款跑路", "刚办的年卡，店就倒闭了", "会员卡里的钱退不了，门店已搬空", "健身俱乐部停业不退费", "教练说老板跑了，私教课作废"],
        does: &["上百会员被骗", "我交了六千多", "充值的钱打了水漂", "电话已经停机", "维权群里三百多人", "押金也没有退"],
        ask: &["请市场监管立案", "要求退还余额", "请公安追查法人", "希望冻结账户", "消费者找谁讨说法", "盼严惩"],
    },
    Topic {
        wrong: &["小学门口没有红绿灯", "学校外面过马路没有信号灯", "校门口的斑马线没有灯控", "上学路口缺交通灯", "接送时段路口全靠抢行", "校门前车速快又无人指挥"],
        does: &["昨天一个学生被撞", "孩子过街提心吊胆", "早高峰人车混行", "家长自发举牌拦车", "已出过三次事故", "一年级的娃不敢自己走"],
        ask: &["请交警加装信号灯", "希望派协管员", "申请建人行天桥", "要求设减速带", "别等出大事", "请画网格线"],
    },
    Topic {
        wrong: &["暖气不热，屋里才十四度", "供暖半个月了还是冰凉", "交了采暖费家里温度不达标", "暖气片摸着是凉的", "供热公司水压不够，顶楼不热", "地暖一点温度都没有"],
        does: &["一家人穿羽绒服吃饭", "新生儿冻感冒了", "老人只能开电热毯", "墙角结了霜", "晚上冻得起不来", "写作业手都僵了"],
        ask: &["请供热办上门测温", "要求退采暖费", "希望清洗管道", "换热站该检修了", "打客服总说等一等", "请提高供水温度"],
    },
    Topic {
        wrong: &["垃圾中转站臭气熏天", "转运站的垃圾车滴漏臭水", "垃圾站离楼栋太近，恶臭难闻", "垃圾压缩站夏天酸臭味飘过来", "生活垃圾堆成山没人清运", "中转站污水横流，苍蝇成堆"],
        does: &["吃饭都想吐", "夏天不敢开窗", "老鼠苍蝇乱窜", "路过要捂鼻子", "衣服上都有馊味", "孩子恶心呕吐"],
        ask: &["请搬走垃圾站", "要求除臭消毒", "希望每天清运", "当初规划没有公示", "请环卫处到场看看", "何时搬迁"],
    },
];

/// Names of places, each with other names of the same place.
const PLACES: &[&[&str]] = &[
    &["翠竹雅苑", "翠竹雅苑小区", "翠竹小区"],
    &["东湖名邸", "东湖名邸小区", "A3区东湖名邸"],
    &["金桂花园", "金桂花园小区", "B2区金桂花园"],
    &["望江新城", "望江新城二期", "望江小区"],
    &["梧桐里社区", "梧桐里", "梧桐里小区"],
    &["青枫路", "青枫路中段", "青枫路路口"],
    &["玉兰大道", "玉兰大道沿线", "A4区玉兰大道"],
    &["恒泰家园", "恒泰家园", "恒泰小区"],
    &["石榴湾", "石榴湾小区", "石榴湾花园"],
    &["银杏公寓", "银杏公寓", "A1区银杏公寓"],
    &["松涛苑", "松涛苑小区", "松涛苑北门"],
    &["观澜国际", "观澜国际小区", "观澜国际三期"],
];

/// Signs that are written for one another.
const SLIPS: &[(char, char)] = &[('的', '得'), ('在', '再'), ('已', '己'), ('做', '作'), ('坐', '座'), ('到', '道'), ('没', '设'), ('水', '氷'), ('气', '汽'), ('垃', '拉'), ('亮', '量'), ('睡', '谁'), ('请', '清'), ('修', '休'), ('味', '昧'), ('狗', '够')];
const OPENINGS: &[&str] = &["", "", "", "您好，", "尊敬的领导：", "我是这里的住户，", "再次反映：", "投诉", "你好，我想反映一下，", "实在受不了了，", "【求助】"];
const CALLERS_AGAIN: f64 = 0.12;

/// Planted messages with the number of the matter that each is of.
#[derive(Debug, Clone, Default)]
pub struct Planted {
    /// Messages, not in order.
    pub rows: Vec<Row>,
    /// The matter of each.
    pub truth: Vec<usize>,
}

/// Plants matters between two times: each topic at two or three places, each place with several topics.
pub fn plant(part: Part, seed: u64, from_us: i64, to_us: i64) -> Planted {
    let mut rng = StdRng::seed_from_u64(seed);
    let topics = if part == Part::Development { DEVELOPMENT } else { HELD_OUT };
    let mut planted = Planted::default();
    let mut matter = 0;
    for (number, topic) in topics.iter().enumerate() {
        for copy in 0..3 {
            // Places are shared between topics, so the same place has several matters.
            let place = PLACES[(number * 2 + copy * 5) % PLACES.len()];
            let size = rng.random_range(6..28);
            let span_us = rng.random_range(2..30) * 86_400_000_000_i64;
            let begin_us = rng.random_range(from_us..(to_us - span_us).max(from_us + 1));
            for report in 0..size {
                let caller = if report > 0 && rng.random_bool(CALLERS_AGAIN) { rng.random_range(0..report) } else { report };
                let (title, text) = message(topic, place, &mut rng);
                planted.rows.push(Row {
                    id: format!("planted-{matter}-{report}"),
                    caller: format!("planted-{matter}-{caller}"),
                    title,
                    text,
                    time_us: begin_us + rng.random_range(0..span_us),
                    zoned: false,
                    likes: 0,
                });
                planted.truth.push(matter);
            }
            matter += 1;
        }
    }
    planted
}

fn message(topic: &Topic, place: &[&str], rng: &mut StdRng) -> (String, String) {
    let one = |phrases: &[&'static str], rng: &mut StdRng| *phrases.choose(rng).unwrap_or(&"");
    let place = place.choose(rng).copied().unwrap_or("");
    let (wrong, second, does, ask) = (one(topic.wrong, rng), one(topic.wrong, rng), one(topic.does, rng), one(topic.ask, rng));
    let title = match rng.random_range(0..4) {
        0 => format!("{place}{wrong}"),
        1 => format!("投诉{place}{second}"),
        2 => format!("{wrong}，{ask}"),
        _ => format!("{place}{does}"),
    };
    let mut parts = vec![format!("{place}{wrong}"), does.to_owned(), ask.to_owned()];
    if rng.random_bool(0.3) {
        parts.push(one(topic.does, rng).to_owned());
    }
    if rng.random_bool(0.35) {
        parts.shuffle(rng);
    }
    let mut text = format!("{}{}。", one(OPENINGS, rng), parts.join("，"));
    if rng.random_bool(0.4) {
        text = slip(&text, rng);
    }
    (title, text)
}

/// One slip of the pen: a sign for another, a sign left out, a sign twice.
fn slip(text: &str, rng: &mut StdRng) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let at = rng.random_range(0..chars.len());
    match rng.random_range(0..3) {
        0 => {
            for c in &mut chars {
                if let Some((_, other)) = SLIPS.iter().find(|(sign, _)| sign == c) {
                    *c = *other;
                    break;
                }
            }
        }
        1 => {
            chars.remove(at);
        }
        _ => chars.insert(at, chars[at]),
    }
    chars.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_the_same_messages_and_parts_share_no_phrase() {
        let a = plant(Part::Development, 7, 0, 90 * 86_400_000_000);
        let b = plant(Part::Development, 7, 0, 90 * 86_400_000_000);
        assert_eq!(a.rows, b.rows);
        assert_eq!(a.rows.len(), a.truth.len());
        let phrases = |topics: &'static [Topic]| topics.iter().flat_map(|topic| topic.wrong.iter().chain(topic.does).chain(topic.ask)).collect::<Vec<_>>();
        assert!(phrases(DEVELOPMENT).iter().all(|phrase| !phrases(HELD_OUT).contains(phrase)));
    }
}
