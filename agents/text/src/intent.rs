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

/// Words that weigh for an intent, in tenths. Where a longer word covers a shorter one, only the longer one counts: 能不能派
/// asks for help, 能不能 alone for an answer. Words of danger (`reading.rs`) speak for an emergency besides.
const TABLE: [(Intent, u8, &str); 37] = [
    (Intent::Help, 32, "求助|请求帮助|求帮助|请帮帮|帮帮我|帮帮忙|急需帮助|求求|求你|求政府|need help|need your help|please help|asking for help|can someone help|help us|help me|can someone|can anyone|could someone|could anyone|could you please send|any chance"),
    (Intent::Help, 24, "请派|派人|派个|派一|派车|派电工|派师傅|派工人|请来人|来人修|来修|上门|请维修|请修|请补|请装|请更换|请清|请疏通|请检修|请恢复|请处理|请抢修|请加固|请协助|报修|请尽快|帮我|帮我们|帮他|帮她|请帮|谁能帮|能帮|能不能帮|能否帮|能不能派|能否派|能不能来|能不能给我|能不能安排|能给想|可以帮|帮一下|帮下|帮催|帮忙|尽快修|尽快恢复|尽快补|尽快安排|请安排|麻烦安排|麻烦快|麻烦派|麻烦来|麻烦处理|麻烦维护|麻烦清|麻烦修|麻烦换|劳烦|烦请|拜托|恳请|恳求|请协调|协调处理|请核实|send someone|send a crew|send a truck|send somebody|send anyone|please send|please repair|please fix|please patch|please cover|please restore|please replace|please clear|please remove|please collect|please pick up|please get|please come|could you pick up|can you pick up|can u|needs repair|need repair|needs to be fixed|needs fixing|needs cleaning|need someone|need somebody|need a crew|need a|come and fix|come out|get it going|needs to be removed|need removing|to direct traffic"),
    (Intent::Help, 14, "坏了|不亮|停水|停电|断电|没水|没电|漏水|爆管|爆了|破损|破裂|损坏|堵塞|堵了|堵死|塌陷|坑洞|大坑|积水|不热|没暖气|倒了|断了|歪了|斜了|灭了|全灭|松了|松动|脱落|冒水|往外冒|满了|故障|失灵|不制冷|返水|看不懂|登不上|下不去|出不了门|跑了|关门了|不见了|丢失|走失|走丢|丢了|遗失|落在|没了|找找|查查|寻找|讨回|解绑|修一修|补一补|填一填|扶一扶|固定|紧一紧|换个|换一|补上|催催|催一下|修剪|疏通|not working|broken|is out|are out|went out|burnt out|leaking|leak|pothole|clogged|blocked drain|no water|no heat|no power|power outage|fallen tree|fallen|came down|flooded|missing|overflowing|backing up|stuck|jammed|locked out|came off|lost a|faulty|dead animal|streetlight|street light|dead at|flat tires|is dark|can't get|can't use|no cover"),
    (Intent::Help, 10, "帮助|困难|救助|解决一下|修一下|修好|维修|修理|清理|处理一下|没人修|尽快处理|找不到|补办|欠薪|拖欠|联系不上|联系一下|想想办法|想办法|检测|调监控|管管|留意|急用|揭不开锅|unable to|cannot get|lost|assistance|repair|fix|fix it|patch|fill in the|interpreter|whenever you have|no rush"),
    (Intent::Complaint, 32, "投诉|我要投诉|差评|吐槽|太不像话|不像话|踢皮球|讲不讲理|不讲理|凭什么|什么态度|管不管|气死|气人|坑人|霸王条款|complaint|complain|complaining|i am filing a complaint|unacceptable|ridiculous|disgusting|fed up|joke of a|do your job|rip off|ripped off|ripoff|sick of|shame on|disgrace"),
    (Intent::Complaint, 20, "态度恶劣|态度差|态度极差|态度很差|服务差|服务太差|服务态度|不作为|推诿|推来推去|推给|乱收费|多收|扰民|太吵|吵得|吵闹|吵醒|噪音|噪声|打桩|不给退|不退|不肯退|不认|拒不|拒绝退|不给发票|敷衍|糊弄|欺负|骗人|忽悠|虚假宣传|霸王|无法忍受|忍无可忍|受不了|受够|气愤|不合理收费|强制消费|强制收|强制要求|捆绑|甩客|拒载|绕路|绕了|骂人|辱骂|还骂|吼|训斥|训人|训犯人|没人管|没人理|没人处理|爱搭不理|不理不睬|没素质|素质|猴年马月|传话筒|难道|想不通|要求赔偿|要求退|退学费|退钱|赔偿|没下文|呛得|震得|吃出|年年反映|不解决|没解决|翻脸|黑心|坑爹|什么玩意|批评|rude|terrible service|poor service|bad service|terrible|awful|horrible|overcharged|charged me twice|charged twice|refused to|refuses to|refuse to|refund|noise|noisy|loud music|blasts|blasting|too loud|keeps us awake|keep us awake|can't sleep|cannot sleep|ignored us|ignores us|ignored|nobody cares|unfair|misleading|scammed|harassing|never shows up|always late|skipped|kept us waiting|kept my|waiting in|waited|attitude|sick and tired|outrageous|insulting|hung up|laughed|laughing|dismissive|apology|my taxes|taxes for|own up|lose my mind|my problem|barks|barking|jackhammering|slammed|why do we|why am i|crashed three"),
    (Intent::Complaint, 12, "不满|不满意|失望|糟糕|异味|臭味|恶臭|油烟|气味|质量差|质量问题|拖延|迟迟不|一直不|屡次|多次反映|多次反应|反映多次|置之不理|严重影响|影响居民|影响休息|无法休息|睡不着|不合理|不公平|违约|延期交房|物业|乱停|占用|遛狗|涨价|拉黑|押金|不肯|拍照威胁|威胁|不排|回回|白洗|白填|烂|掉毛|发黄|smell|stinks|stench|dissatisfied|disappointed|unhappy|again and again|many times|for months|no response|never answered|nobody answers|late|wrong bill|double charged|dirty|junk|annual fee|all night|nothing was|raise the rent|landlord"),
    (Intent::Report, 32, "举报|实名举报|检举|揭发|匿名|i want to report illegal|to report illegal|reporting illegal|to report someone|want to report|like to report|tip off|whistleblow|whistleblowing|blow the whistle|anonymous|stay anonymous"),
    (Intent::Report, 24, "违法|非法|无证|无照|没有执照|没执照|没有许可|没有手续|没有任何手续|采矿证|检疫|黑作坊|黑网吧|黑诊所|黑中介|偷排|晚上排|夜里排|偷倒|偷运|盗采|盗挖|盗伐|砍伐|滥伐|电鱼|毒鱼|赌博|赌博机|聚赌|赌场|开赌|贩毒|吸毒|嫖娼|卖淫|传销|诈骗|骗子|骗老人|骗钱|上当|贪污|受贿|行贿|贿赂|收红包|回扣|假冒|冒充|假药|假酒|假烟|假货|假的|假证|假学历|假社保|假罚单|伪劣|走私|偷税|漏税|逃税|两套账|违建|违章建筑|违章搭|私搭|私自搭建|违规搭建|偷盖|私自|超载|酒驾|酒后驾车|套牌|黑车|非法营运|冒领|骗保|骗取|套取|虚报|吃空饷|弄虚作假|倒卖|围标|串标|过期食品|过期酸奶|过期肉|改生产日期|改日期|换标签|工业盐|地沟油|童工|夜间偷|焚烧秸秆|私设|挪用|侵吞|公款|公车|自家车|自家搬|偷来|赃|鱼死|散装汽油|敲诈|illegal|illegally|illicit|unlicensed|without a license|without a licence|without a permit|no permit|no building permit|without permission|without authorization|fraud|fraudulent|bribe|bribes|bribery|corruption|embezzling|embezzled|counterfeit|fake|drug dealing|dealing drugs|selling drugs|selling cigarettes|selling alcohol|selling fireworks|to kids|to minors|gambling den|gambling|tax evasion|smuggling|fake invoices|underage|underage workers|child labor|child labour|money laundering|kickbacks|kickback|poaching|stolen|looks stolen|drunk driving|forged|dumping|dumping chemicals|dumping waste|discharging|falsified|expired food|expired|relabels|relabel|ghost employees|do not exist|against the law|scam|stop this|chains its"),
    (Intent::Report, 12, "违规|查处|严查|查一查|依法处理|依法|严肃查处|取缔|彻查|立案|以权谋私|勾结|保护伞|上头有人|偷偷|偷着|偷|深夜偷|明目张胆|有照片为证|有证据|拍了视频|有视频|拍下来|亲眼看见|亲眼|看不下去|来查他|看见有人|investigate|secretly|breaking the law|violating|violation|violations|crack down|on video|got it on|pretty sure|cops|inspectors|protected"),
    (Intent::Inquiry, 30, "咨询|请问|想问|想问一下|问一下|问下|问问|问个|麻烦问|麻烦问下|就是问问|请教|请教个|想了解|了解一下|想知道|打听|打听一下|听说|i would like to know|i'd like to know|could you tell me|can you tell me|i want to know|wondering|inquiry|inquire|enquire|question about|i have a question|please advise|just asking|only asking"),
    (Intent::Inquiry, 20, "如何办理|怎么办理|怎样办理|如何申请|怎么申请|怎么算|怎么查|怎么办|怎么弄|需要哪些|需要什么|需要带|要带什么|什么时候|啥时候|何时|在哪里|在哪儿|在哪|去哪|哪里可以|哪里办|哪里申请|去哪办|找哪个|找谁|是否可以|能否|可不可以|能不能|可以吗|行不行|算不算|让不让|要不要钱|还能不能|可以不|上不上班|有没得|还有没有|真的假的|是否需要|要不要|多少钱|多少|多久|几天|几点|几点钟|几月|几月份|哪年|有没有规定|什么条件|哪些材料|什么材料|什么手续|什么尺寸|条件是什么|标准是什么|流程|有什么要求|有影响吗|是不是免费|是不是要|还是按|how do i|how can i|how to|how much|how long|how many|what is the|what are the|what documents|what does|whats the|what's the|when will|when does|when is|where can i|where do i|where would i|where is|where exactly|which office|which day|am i eligible|is it possible|do i need|does the city|are there any|is there a|is there any|is the|what time|who do i|who would i|can i|what papers|who should i|who qualifies|and when it|whether the|and what does it"),
    (Intent::Inquiry, 9, "吗?|吗|?|呢?|呢|不?|没?|是否|政策|条件|办理|手续|补贴|申请|查询|哪里|哪儿|哪个|怎么|如何|几时|什么|大爷问|门票|材料|申领|报销|过户|落户|eligible|apply|application|opening hours|deadline|renew|tell me if|check the status|grant"),
    (Intent::Suggestion, 34, "建议|我的建议|提议|提个建议|提个想法|想法|浅见|合理化建议|献策|倡议|呼吁|i suggest|i would suggest|we suggest|my suggestion|suggestion|suggest|propose|i propose|proposal|recommend|it would be nice|it would be great|it would be better|it would be good|would be helpful if|would be great|would be nice|how about|why not|consider adding|please consider|should consider|idea|an idea|my two cents|would love to see|wish there"),
    (Intent::Suggestion, 20, "希望增设|希望增加|希望能增加|希望设置|希望在|希望能在|希望社区|希望多|应该增加|应增设|应该学|应该写|应当留|能否增加|能否增设|能否调整|能否延长|能不能把|能否把|可否|是否可以增设|是否可以增加|是不是可以|是否考虑|增设|增开|加装|加几|加一|加个|可以考虑|考虑考虑|不妨|不如|与其|如果能|要是能|要是可以|就好了|借鉴|最好|多组织|多放|多装|多种|完善|优化|改进|推广|延长运营|延长开放|延长到|提前到|should add|could add|should install|could install|could use|add a|add more|extend the|extending|improve|would benefit|more benches|install a|could the city|the city should|the city could|you should|instead of|maybe plant|maybe put|maybe add|maybe we|maybe|let residents|what if|lowering the|putting|plant some"),
    (Intent::Suggestion, 8, "希望|更好|更加|应该|应当|增加|设置|调整|周末|对外开放|防患于未然|should|better|more"),
    (Intent::Praise, 36, "表扬|点赞|点个赞|赞一个|感谢信|锦旗|特此感谢|衷心感谢|由衷感谢|非常感谢|十分感谢|万分感谢|深表感谢|感激|感激不尽|感恩|致谢|鸣谢|赞扬|好评|夸一夸|夸夸|夸奖|夸一下|鞠一躬|鞠躬|敬礼|致敬|鼓掌|打call|表彰|嘉奖|好人好事|心服口服|为你们点赞|praise|kudos|hats off|shout out|shout-out|compliment|commend|commendation|well done|great job|good job|excellent job|excellent work|excellent service|amazing job|wonderful job|fantastic job|huge thanks|grateful|thankful|thank you for|thanks for|thank you to|thanks to|big thanks|many thanks to|can't thank|cannot thank|appreciate|heroes|wonderful|impressed|made my day|credit where"),
    (Intent::Praise, 20, "热心|耐心|耐心解答|认真负责|尽职尽责|拾金不昧|助人为乐|辛苦了|值得学习|值得表扬|好同志|好民警|好司机|好医生|服务周到|服务很好|服务态度好|服务态度没得说|没得说|态度很好|态度好|态度真好|效率高|效率真高|办事效率|很满意|十分满意|非常满意|贴心|暖心|感动|真的很感动|高效|及时解决|圆满解决|真给解决|修好了|办好了|雷厉风行|为民办实事|高尚|太棒了|真棒|漂亮得很|亲闺女|亲人还亲|一分钱没要|送回来|笑眯眯|给力|friendly|helpful and|very helpful|professional|polite|politely|patient with|quick response|fast response|very satisfied|so kind|went out of|above and beyond|outstanding|courteous|fixed within|in one day|amazing|lovely|best cop|best in|saved my|rescued|looks great|looks amazing|waited for me|out of her way|out of his way"),
    (Intent::Praise, 9, "谢谢|感谢|满意|不错|真好|太好了|帮了大忙|好多了|捡到|追回|漂亮|回来了|变清了|thank you|thanks|happy with|nice work|great|best"),
    (Intent::Emergency, 44, "救命|快来人|快救|快来救|快派救护车|救护车|119|120急救|紧急求救|十万火急|help!|emergency|call an ambulance|send an ambulance|ambulance|mayday|send help now|come quick|911"),
    (Intent::Emergency, 8, "紧急|快来|快点|马上来|马上|十分危险|危急|情况紧急|立即|right now|hurry|immediately|urgent|urgently"),
    (Intent::Complaint, 9, "不理|不回复|不给|太慢|太差|差劲|不接|推脱|没有人来|白跑|老是|总是|从来不|always|never|every night|every single|third time|nothing has been done|nothing happens|no one came|nobody came|nobody has|still waiting"),
    (Intent::Complaint, 14, "每天晚上|天天|半夜还在|凌晨还在|每天早上|广场舞|音响|装修|施工|音乐声|喇叭|商家|店家|前台|公交司机|的哥|司机|客服|窗口|收费|开发商|退款|保安|教练|房东|中介|construction|contractor|neighbor|neighbour|neighbors|landlord|driver|staff|clerk|bus driver|principal|call center"),
    (Intent::Help, 9, "老人|孩子|残疾|低保|急需|盼|望|请予以|elderly|disabled|we need|i need"),
    (Intent::Help, 12, "井盖|没人收|未清运|没清运|没有清运|枯枝|倾斜|裸露|缺失|打不开|用不了|爆裂|渗水|坑洼|路灯|树枝|掉落|断裂|卡住|下水道|red light|traffic light|signal|manhole|sidewalk|graffiti|trash|garbage|tree branch|branch|meter|hydrant"),
    (Intent::Report, 12, "商贩|假|作坊|排污|排放|废水|废气|开设|涉嫌|窝点|塑料袋焚烧|chemicals|casino|brothel|suspect|suspicious"),
    (Intent::Suggestion, 12, "多设|多建|多开|设个|设立|建立|开通|安装|开放|延长|改为|改成|longer hours|bike lanes|bike lane|more trees|bench"),
    (Intent::Inquiry, 12, "规划|会不会|有没有|哪天|进度|计划|开通时间|多大年龄|允许|规定|whether|schedule|plans for|rules|allowed|fee|cost|hours|requirements|which|where"),
    (Intent::Inquiry, 6, "what|when"),
    (Intent::Praise, 12, "师傅|民警|巡警|医生|护士|志愿者|社区工作者|工作人员|消防员|the crew|the officer|officer|the nurse|operator|the workers|the team|firefighters|paramedics"),
    (Intent::Emergency, 12, "快教|火|烟|危险|漏电|电线掉|高压线|sparking"),
    (Intent::Complaint, 10, "欺诈|欺骗|问题多次|还没解决|仍未解决|至今未|至今没|没有解决|已处理|办结|lied|cheated|unresolved|not resolved|still not"),
    (Intent::Report, 12, "公职人员|村干部|村支书|村主任|局长"),
    (Intent::Report, 4, "领导|书记|包工头|老板"),
    (Intent::Complaint, 4, "他们|你们|人家|店|公司|门卫|they|them|he|she|your"),
    (Intent::Report, 4, "有人|someone|somebody|a guy|a man"),
    (Intent::Help, 4, "我家|家里|门口|my|our"),
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

/// Characters behind which less is said about what the sender wants: a long message tells its story after it.
const STRONG_CHARS: usize = 300;

/// Weight from which a word of praise is more than a courtesy.
const PRAISE: i32 = 20;

/// What the words say. `dangers` are words of danger that are meant as they stand, and what each weighs for an emergency.
pub(crate) fn weigh(normal: &Normal, hits: &[(usize, usize, Weight)], dangers: &[(usize, usize, u8)]) -> Wanted {
    let mut scores = [0i32; 7];
    let mut spoken: Vec<(usize, usize, Intent)> = Vec::new();
    let mut said: [u32; 7] = [0; 7];
    let mut reached = [0usize; 7];
    let mut longest = (0usize, 0usize);
    let mut praised = false;
    let mut count = |scores: &mut [i32; 7], start: usize, intent: Intent, weight: i32| {
        let index = intent as usize;
        let weight = if start > STRONG_CHARS { weight / 2 } else { weight };
        // What is said again and again counts less each time.
        said[index] += 1;
        scores[index] += weight * 2 / (1 + said[index].min(7) as i32);
    };
    for (start, end, weight) in dangers.iter().copied() {
        count(&mut scores, start, Intent::Emergency, i32::from(weight));
        spoken.push((start, end, Intent::Emergency));
    }
    for (start, end, (intent, weight)) in hits.iter().copied() {
        let index = intent as usize;
        // A longer word has said it already.
        if start < reached[index] || (end <= longest.1 && end - start < longest.1 - longest.0) {
            continue;
        }
        if end > longest.1 {
            longest = (start, end);
        }
        let mut weight = i32::from(weight);
        // How a word is meant is looked at only where it makes a difference.
        if matches!(intent, Intent::Praise | Intent::Emergency | Intent::Report) || weight >= 30 && !matches!(intent, Intent::Inquiry) {
            match mood(normal, start, end) {
                Mood::Denied if matches!(intent, Intent::Praise) => {
                    scores[Intent::Complaint as usize] += weight / 2;
                    continue;
                }
                Mood::Denied => continue,
                Mood::Feared | Mood::Supposed if matches!(intent, Intent::Emergency) => weight /= 6,
                Mood::Feared | Mood::Supposed | Mood::Real => {}
            }
        }
        praised |= matches!(intent, Intent::Praise) && weight >= PRAISE;
        reached[index] = end;
        count(&mut scores, start, intent, weight);
        spoken.push((start, end, intent));
    }
    let opening = normal.text.trim_start_matches(|c: char| !c.is_alphanumeric());
    for (intent, word) in OPENINGS {
        if opening.starts_with(word) {
            scores[intent as usize] += 25;
        }
    }
    if normal.text.ends_with('?') {
        scores[Intent::Inquiry as usize] += 6;
    }
    // Courtesies at the end of a request are no praise.
    if !praised && scores[Intent::Praise as usize] < 30 {
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
