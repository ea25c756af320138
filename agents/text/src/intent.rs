//! What a sender wants: 求助, 投诉, 举报, 咨询, 建议, 表扬, 紧急.
//!
//! A transparent model: each word of a table weighs for one intent, words that are denied weigh nothing, and the intent
//! that most speaks for wins. The words that decided are told.

use serde::{Deserialize, Serialize};

use crate::lexicon::{Mood, mood};
use crate::normal::Normal;

/// What a sender wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// 求助: something is broken or missing, and somebody should see to it.
    Help,
    /// 投诉: somebody does wrong to the sender, or serves badly.
    Complaint,
    /// 举报: somebody breaks the law.
    Report,
    /// 咨询: a question.
    Inquiry,
    /// 建议: how it could be better.
    Suggestion,
    /// 表扬: thanks for work done.
    Praise,
    /// 紧急: life or limb is in danger now.
    Emergency,
}

impl Intent {
    /// All of them.
    pub const ALL: [Intent; 7] = [Intent::Help, Intent::Complaint, Intent::Report, Intent::Inquiry, Intent::Suggestion, Intent::Praise, Intent::Emergency];

    /// Its name in data.
    pub fn id(self) -> &'static str {
        match self {
            Intent::Help => "help",
            Intent::Complaint => "complaint",
            Intent::Report => "report",
            Intent::Inquiry => "inquiry",
            Intent::Suggestion => "suggestion",
            Intent::Praise => "praise",
            Intent::Emergency => "emergency",
        }
    }

    /// Its name in Chinese.
    pub fn zh(self) -> &'static str {
        match self {
            Intent::Help => "求助",
            Intent::Complaint => "投诉",
            Intent::Report => "举报",
            Intent::Inquiry => "咨询",
            Intent::Suggestion => "建议",
            Intent::Praise => "表扬",
            Intent::Emergency => "紧急",
        }
    }
}

/// Words that weigh for an intent, in tenths.
const TABLE: [(Intent, u8, &str); 33] = [
    (Intent::Help, 30, "求助|请求帮助|求帮助|请帮帮|帮帮我|帮帮忙|急需帮助|need help|need your help|please help|asking for help|can someone help|help us|help me"),
    (Intent::Help, 20, "请派人|派人来|派人维修|派人处理|派人修|请维修|请修复|报修|请尽快修|帮忙修|尽快恢复|请安排|麻烦安排|来修|请协调|帮忙协调|请抢修|尽快抢修|send someone|send a crew|please repair|please fix|needs repair|need repair|needs to be fixed|needs fixing|please restore|come and fix|please replace|please send|please clear|please remove|please collect|please pick up"),
    (Intent::Help, 14, "坏了|不亮|停水|停电|断电|没水|没电|漏水|爆管|破损|破裂|损坏|堵塞|堵了|塌陷|坑洞|大坑|积水|不热|没暖气|倒了|断了|松动|脱落|冒水|井盖|丢失|走失|故障|失灵|不制冷|not working|broken|is out|are out|burnt out|leaking|leak|pothole|clogged|blocked drain|no water|no heat|no power|power outage|fallen tree|fallen|flooded|missing|overflowing|stuck|came off|faulty|dead animal|streetlight|street light"),
    (Intent::Help, 10, "帮忙|帮助|困难|救助|解决|修一下|维修|修理|清理|处理一下|没人修|尽快处理|找不到|补办|欠薪|拖欠|联系不上|unable to|cannot get|lost|assistance|repair|fix"),
    (Intent::Complaint, 32, "投诉|我要投诉|complaint|complain|complaining|i am filing a complaint|unacceptable"),
    (Intent::Complaint, 20, "态度恶劣|态度差|态度极差|态度很差|服务差|服务太差|服务态度|不作为|推诿|踢皮球|乱收费|多收|扰民|太吵|吵得|吵闹|噪音|噪声|不给退|不退|拒不|拒绝退|敷衍|欺负|骗人|忽悠|虚假宣传|霸王|无法忍受|忍无可忍|气愤|不合理收费|强制消费|强制收|强制要求|捆绑|甩客|拒载|绕路|骂人|辱骂|没人管|rude|terrible service|poor service|bad service|overcharged|refused to|refuses to|refuse to|noise|noisy|loud music|too loud|keeps us awake|keep us awake|can't sleep|cannot sleep|ignored us|ignores us|nobody cares|fed up|disgusting|unfair|misleading|scammed|harassing|never shows up|always late|skipped our|kept us waiting|attitude|sick and tired|outrageous"),
    (Intent::Complaint, 12, "不满|不满意|失望|糟糕|异味|臭味|恶臭|油烟|气味|质量差|质量问题|拖延|迟迟不|一直不|屡次|多次反映|多次反应|反映多次|置之不理|严重影响|影响居民|影响休息|无法休息|睡不着|不合理|不公平|违约|延期交房|物业|乱停|占用|遛狗|涨价|smell|stinks|stench|dissatisfied|disappointed|unhappy|again and again|many times|for months|no response|never answered|late|barking|wrong bill|double charged|dirty"),
    (Intent::Report, 32, "举报|实名举报|检举|揭发|i want to report illegal|to report illegal|reporting illegal|tip off|whistleblow|blow the whistle"),
    (Intent::Report, 24, "违法|非法|无证|无照|黑作坊|偷排|偷倒|盗采|盗伐|赌博|聚赌|贩毒|吸毒|嫖娼|传销|诈骗|贪污|受贿|行贿|贿赂|回扣|假冒|假药|假酒|伪劣|走私|偷税|漏税|逃税|违建|违章建筑|私搭|私自搭建|违规搭建|偷盖|超载|酒驾|酒后驾车|套牌|黑车|非法营运|冒领|骗保|骗取|套取|虚报|吃空饷|弄虚作假|倒卖|围标|串标|过期食品|地沟油|童工|夜间偷|焚烧秸秆|私设|挪用|侵吞|公款|illegal|illegally|illicit|unlicensed|without a license|without a licence|without a permit|no permit|fraud|fraudulent|bribe|bribes|bribery|corruption|embezzling|embezzled|counterfeit|drug dealing|dealing drugs|selling drugs|gambling den|gambling|tax evasion|smuggling|fake invoices|underage workers|child labor|child labour|money laundering|kickbacks|kickback|poaching|stolen|drunk driving|forged|dumping chemicals|dumping waste|falsified|expired food|ghost employees"),
    (Intent::Report, 10, "违规|查处|严查|依法处理|严肃查处|取缔|彻查|以权谋私|勾结|保护伞|偷偷|深夜偷|investigate|secretly|breaking the law|violating|violation|violations|crack down"),
    (Intent::Inquiry, 30, "咨询|请问|想问|想问一下|问一下|想了解|了解一下|想知道|打听|请教|i would like to know|i'd like to know|could you tell me|can you tell me|i want to know|wondering|inquiry|inquire|enquire|question about|i have a question|please advise|just asking"),
    (Intent::Inquiry, 18, "如何办理|怎么办理|怎样办理|如何申请|怎么申请|怎么办|需要哪些|需要什么|什么时候|何时|在哪里|哪里可以|哪里办|是否可以|能否|可不可以|能不能|是否需要|多少钱|多久|几点|有没有规定|什么条件|哪些材料|什么材料|什么手续|条件是什么|标准是什么|流程|有什么要求|how do i|how can i|how to|how much|how long|what is the|what are the|what documents|when will|when does|when is|where can i|where do i|where is|which office|am i eligible|is it possible|do i need|does the city|are there any|is there a|what time|who do i|can i|what papers|who should i"),
    (Intent::Inquiry, 9, "吗?|吗|?|呢?|是否|政策|条件|办理|手续|补贴|申请|查询|哪里|怎么|如何|几时|哪个|eligible|apply|application|opening hours|deadline|renew"),
    (Intent::Suggestion, 34, "建议|提议|提个建议|合理化建议|献策|倡议|呼吁|i suggest|i would suggest|we suggest|my suggestion|suggestion|suggest|propose|i propose|proposal|recommend|it would be nice|it would be great|it would be better|it would be good|would be helpful if|how about|why not|consider adding|please consider|should consider|idea"),
    (Intent::Suggestion, 18, "希望增设|希望增加|希望能增加|希望设置|希望在|希望能在|应该增加|应增设|能否增加|能否增设|增设|增开|加装|可以考虑|不妨|如果能|完善|优化|改进|推广|延长运营|延长开放|should add|could add|should install|could install|add a|add more|extend the|improve|would benefit|more benches|install a|could the city|the city should|the city could"),
    (Intent::Suggestion, 8, "希望|更好|更加|应该|应当|增加|设置|should|better|more"),
    (Intent::Praise, 36, "表扬|点赞|感谢信|锦旗|特此感谢|衷心感谢|由衷感谢|非常感谢|十分感谢|万分感谢|深表感谢|致谢|鸣谢|赞扬|好评|为你们点赞|praise|kudos|hats off|shout out|shout-out|compliment|commend|commendation|well done|great job|good job|excellent job|excellent work|excellent service|amazing job|wonderful job|fantastic job|grateful|thankful|thank you for|thanks for|thank you to|thanks to|big thanks|many thanks to|appreciate"),
    (Intent::Praise, 20, "热心|耐心|认真负责|尽职尽责|拾金不昧|助人为乐|辛苦了|值得学习|值得表扬|好同志|好民警|好司机|好医生|服务周到|服务很好|服务态度好|态度很好|态度好|效率高|办事效率|很满意|十分满意|非常满意|贴心|暖心|感动|高效|及时解决|圆满解决|雷厉风行|赞一个|为民办实事|friendly|helpful and|very helpful|professional|polite|quick response|fast response|impressed|very satisfied|so kind|went out of|above and beyond|outstanding|courteous|made my day|fixed within"),
    (Intent::Praise, 9, "谢谢|感谢|满意|不错|真好|太好了|帮了大忙|thank you|thanks|happy with|nice work"),
    (Intent::Emergency, 44, "救命|快来人|快救|快来救|快派救护车|救护车|119|120急救|紧急求救|十万火急|help!|emergency|call an ambulance|send an ambulance|ambulance|mayday|send help now|911"),
    (Intent::Emergency, 36, "着火|起火|失火|火灾|爆炸|被困|受困|困在|溺水|落水|掉进河|掉到河|掉进水|跳楼|轻生|自杀|要跳|昏迷|晕倒|昏倒|不省人事|没有呼吸|心脏骤停|大出血|流血不止|触电|煤气泄漏|燃气泄漏|天然气泄漏|漏气|煤气味|燃气味|浓烟|中毒|坠楼|坍塌压|埋在|有人受伤|受伤|持刀|砍人|被砸|塌了|踩踏|on fire|fire broke|in flames|explosion|exploded|trapped|stranded|drowning|unconscious|not breathing|collapsed and|bleeding|electrocuted|gas leak|smell gas|smell of gas|smells gas|strong gas smell|heavy smoke|thick smoke|smoke coming|injured|heart attack|stabbed|suicide|jump off|passed out|overdose|hit by a car|poisoning|knife|shooting"),
    (Intent::Emergency, 8, "紧急|快来|马上来|十分危险|危急|情况紧急|立即|right now|hurry|immediately|urgent|urgently"),
    (Intent::Complaint, 9, "不理|不回复|不给|太慢|太差|差劲|坑人|不接|推脱|没有人来|always|never|every night|third time|nothing has been done|nothing happens|no one came|nobody came|nobody has|still waiting"),
    (Intent::Complaint, 14, "每天晚上|天天|半夜还在|凌晨还在|广场舞|音响|装修|施工|音乐声|喇叭|商家|店家|司机|客服|窗口|收费|开发商|退款|construction|neighbor|neighbour|landlord|driver|staff|clerk|bus driver|refund"),
    (Intent::Help, 9, "老人|孩子|残疾|低保|急需|盼|恳请|恳求|望|请予以|elderly|disabled|we need|i need"),
    (Intent::Help, 12, "没人收|未清运|没清运|没有清运|枯枝|倾斜|裸露|缺失|不通|打不开|用不了|爆裂|渗水|坑洼|路灯|树枝|掉落|断裂|卡住|下水道|red light|traffic light|signal|manhole|sidewalk|graffiti|trash|garbage|tree branch|branch|meter|hydrant"),
    (Intent::Report, 12, "商贩|假|作坊|排污|排放|废水|废气|偷|开设|涉嫌|窝点|塑料袋焚烧|chemicals|casino|brothel|suspect|suspicious|scam"),
    (Intent::Suggestion, 12, "多设|多装|多建|多开|设个|设立|建立|开通|安装|开放|延长|调整|改为|改成|wish there|would love to see|longer hours|bike lanes|bike lane|more trees|bench"),
    (Intent::Inquiry, 12, "规划|会不会|有没有|要不要|哪天|哪年|进度|计划|开通时间|多大年龄|允许|规定|whether|schedule|plans for|rules|allowed|fee|cost|hours|requirements|what|which|where|when"),
    (Intent::Praise, 12, "师傅|民警|医生|护士|志愿者|社区工作者|工作人员|the crew|the officer|the nurse|operator|the workers|the team"),
    (Intent::Emergency, 14, "快|火|烟|危险|倒塌|坍塌|漏电|电线掉|高压线|fire|smoke|collapse|collapsed|live wire|downed power line|power line down|sparking"),
    (Intent::Complaint, 10, "敲诈|欺诈|欺骗|问题多次|还没解决|仍未解决|至今未|至今没|没有解决|不解决|lied|cheated|unresolved|not resolved|still not"),
    (Intent::Report, 14, "公职人员|村干部|村支书|村主任|书记|领导|局长|包工头|老板"),
];

/// Words that only say "I have a request", and their intent, when they stand at the beginning.
const OPENINGS: [(Intent, &str); 7] = [
    (Intent::Help, "求助"), (Intent::Complaint, "投诉"), (Intent::Report, "举报"), (Intent::Inquiry, "咨询"), (Intent::Suggestion, "建议"), (Intent::Praise, "表扬"), (Intent::Praise, "感谢"),
];

pub(crate) type Weight = (Intent, u8);

pub(crate) fn tell(mut put: impl FnMut(&str, Weight)) {
    for (intent, weight, words) in TABLE {
        for word in words.split('|') {
            put(word, (intent, weight));
        }
    }
}

/// What a sender wants, how sure that is, and the words that say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The intent.
    pub intent: Intent,
    /// How sure, thousandths.
    pub confidence_permille: u32,
    /// The words that weighed for it, in characters of the original.
    pub words: Vec<(usize, usize)>,
}

/// Words behind which less is said about what the sender wants: a long message tells its story after it.
const STRONG_CHARS: usize = 300;

pub(crate) fn weigh(normal: &Normal, hits: &[(usize, usize, Weight)]) -> Wanted {
    let mut scores = [0i32; 7];
    let mut spoken: Vec<(usize, usize, Intent)> = Vec::new();
    let mut said: [u32; 7] = [0; 7];
    let mut reached = [0usize; 7];
    for (start, end, (intent, weight)) in hits.iter().copied() {
        let index = intent as usize;
        // A longer word has said it already.
        if start < reached[index] {
            continue;
        }
        let mood = if matches!(intent, Intent::Inquiry) { Mood::Real } else { mood(normal, start, end) };
        let mut weight = i32::from(weight);
        match mood {
            Mood::Denied if matches!(intent, Intent::Praise) => {
                scores[Intent::Complaint as usize] += weight / 2;
                continue;
            }
            Mood::Denied if matches!(intent, Intent::Emergency | Intent::Report) || weight >= 30 => continue,
            Mood::Feared if matches!(intent, Intent::Emergency) => weight /= 6,
            Mood::Denied | Mood::Feared | Mood::Real => {}
        }
        if start > STRONG_CHARS {
            weight /= 2;
        }
        reached[index] = end;
        // What is said again and again counts less each time.
        said[index] += 1;
        scores[index] += weight * 2 / (1 + said[index].min(7) as i32);
        spoken.push((start, end, intent));
    }
    let opening = normal.text.trim_start_matches(|c: char| !c.is_alphanumeric());
    for (intent, word) in OPENINGS {
        if opening.starts_with(word) {
            scores[intent as usize] += 25;
        }
    }
    // Courtesies at the end of a request are no praise.
    if scores[Intent::Praise as usize] < 30 {
        scores[Intent::Praise as usize] /= 2;
    }
    let mut order: Vec<usize> = (0..7).collect();
    order.sort_by_key(|index| (-scores[*index], *index));
    let (best, second) = (order[0], order[1]);
    let intent = if scores[best] <= 0 { Intent::Help } else { Intent::ALL[best] };
    let lead = (scores[best] - scores[second]).max(0);
    let confidence_permille = if scores[best] <= 0 { 300 } else { (400 + 600 * lead / (lead + 20)).clamp(300, 990) as u32 };
    let words = spoken.iter().filter(|(_, _, of)| *of == intent).map(|(start, end, _)| normal.original(*start, *end)).collect();
    Wanted { intent, confidence_permille, words }
}
