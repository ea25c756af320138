//! Sentences with personal data in them, made from a seed: invented people's numbers written as people write them, among
//! other words, and numbers that only look like it.
//!
//! Knows how numbers are issued and written; knows nothing of the rules that find them.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// So many sentences of a hundred carry personal data, the others only numbers that look like it.
const WITH_DATA_PERCENT: u32 = 65;

/// Sentences with what is personal in braces, `{phone:138 1234 5678}`.
pub fn sentences(seed: u64, count: usize) -> Vec<String> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count).map(|_| sentence(&mut rng)).collect()
}

fn sentence(rng: &mut StdRng) -> String {
    let zh = rng.random_ratio(3, 5);
    let (carriers, decoys) = if zh { (CARRIERS_ZH, DECOYS_ZH) } else { (CARRIERS_EN, DECOYS_EN) };
    if !rng.random_ratio(WITH_DATA_PERCENT, 100) {
        return fill(one(decoys, rng), zh, rng);
    }
    let mut text = fill(one(carriers, rng), zh, rng);
    if rng.random_ratio(1, 5) {
        let joint = if zh { *["", "，", "。", " ", "；"].choose(rng).unwrap_or(&"") } else { *[" ", ". ", "; ", ", ", "\n"].choose(rng).unwrap_or(&" ") };
        text = format!("{text}{joint}{}", fill(one(carriers, rng), zh, rng));
    }
    if rng.random_ratio(1, 4) {
        let decoy = fill(one(decoys, rng), zh, rng);
        let joint = if zh { "，" } else { ", " };
        text = if rng.random_bool(0.5) { format!("{text}{joint}{decoy}") } else { format!("{decoy}{joint}{text}") };
    }
    text
}

const CARRIERS_ZH: &[&str] = &[
    "联系电话{phone}",
    "请拨打{phone}联系我",
    "本人手机号：{phone}，住在{place}",
    "我姓{name}，电话{phone}，反映{place}路面塌陷",
    "{phone}{name}先生来电投诉{place}夜间施工",
    "市民{name}女士（{phone}）称{place}停水",
    "有事打我电话{phone}或{phone}",
    "投诉人{name}某，{phone}，要求回电",
    "回电{phone}谢谢！{place}的井盖又丢了",
    "手机{phone}微信同号",
    "tel：{phone}",
    "把结果告诉我老婆{phone}她在家",
    "{place}积水严重，现场联系人{phone}",
    "座机{landline}",
    "家里电话{landline}，{name}奶奶一个人住",
    "打固定电话{landline}找{name}师傅",
    "{landline}这个电话晚上有人接",
    "联系方式 {landline} 或 {phone}",
    "身份证号{id}",
    "本人{name}某，身份证{id}，申请补贴",
    "身份证号码：{id}，医保断缴三个月",
    "{name}某某，男，{id}，户籍迁移被退件",
    "居民身份证{id}登记有误",
    "父亲{id}母亲{id}，孩子落户",
    "证件号{id}电话{phone}",
    "车牌{plate}",
    "{plate}长期霸占{place}的车位",
    "黑色轿车{plate}停在消防通道上",
    "车牌号为{plate}的渣土车撒漏",
    "{place}门口{plate}堵住出口，请交警来",
    "出租车{plate}拒载",
    "{plate}与{plate}相撞",
    "司机开{plate}闯红灯，电话{phone}是车主的",
    "银行卡号{card}",
    "工资打到{card}一直没收到",
    "请退款到{card}，户名{name}某",
    "卡号{card}，开户行在{place}",
    "账户{card}被冻结",
    "邮箱{email}",
    "结果请发{email}，谢谢",
    "附件已发到{email}请查收",
    "护照号{passport}",
    "本人护照{passport}过期",
    "港澳通行证{permit}读不出来",
    "通行证号码：{permit}，需要续签",
];

const CARRIERS_EN: &[&str] = &[
    "please call {us_phone}",
    "My number is {us_phone}, call after six",
    "Contact: {us_phone}",
    "reach {name_en} at {us_phone} about the sewer on {street}",
    "{us_phone} is my cell, the light at {street} is out",
    "Caller {name_en} ({us_phone}) reports a broken main",
    "text {us_phone} or {us_phone}",
    "Phone {phone}, I live on {street}",
    "my WeChat and mobile {phone}",
    "home line {landline}, ask for {name_en}",
    "SSN {ssn}",
    "my social security number {ssn} is on the bill",
    "Chinese ID {id} rejected at the counter",
    "ID card number: {id}",
    "identity no. {id}, permit pending",
    "plate {plate}, parked on {street}",
    "a truck ({plate}) dumps debris on {street}",
    "license plate {us_plate}",
    "abandoned vehicle, license plate: {us_plate}, {street}",
    "charged twice on card {card_west}",
    "refund to {card_west} please",
    "card number {card_west} was stolen at the kiosk",
    "my UnionPay card {card}",
    "email {email}",
    "Write to {email}, not to my landlord",
    "send photos to {email} or call {us_phone}",
    "passport {passport}",
    "passport number: {passport}, residency letter for {name_en}",
];

const DECOYS_ZH: &[&str] = &[
    "工单号{date}{8}办结不满意",
    "订单编号{16}一直没发货",
    "路灯杆号{pole}不亮",
    "灯杆编号LG-{3}-{4}-{4}歪了",
    "电表读数{5}.{2}度",
    "水表号{12}走得飞快",
    "金额{4}.{2}元，退了{3}元",
    "总投资{mobile}元",
    "坐标{lat},{lon}有坑",
    "{year}年{month}月{day}日{hour}点{minute}分停电",
    "时间{date}{hour}{minute}{minute}",
    "{bus}路公交等了{2}分钟",
    "书号ISBN 978-7-{3}-{5}-{1}",
    "条码69{11}扫不出来",
    "快递SF{13}丢了",
    "顺丰单号{15}显示已签收",
    "打12345转了三次",
    "110和119都来了",
    "客服400-{3}-{4}打不通",
    "银行955{2}让我等",
    "统一社会信用代码91{6}{9}X欠薪",
    "房屋编码{19}",
    "型号RG-{4}-{4}离线",
    "设备编号{letter}{8}漏电",
    "批次{letter}{8}不合格",
    "邮编{6}",
    "面积{5}平方米",
    "{place}{2}栋{4}漏水",
    "发票号码{8}",
    "合同编号〔{year}〕第{4}号",
    "{place}K{3}+{3}处",
    "IMEI：86{13}",
    "卡尾号{4}没到账",
    "累计流量{mobile}升",
    "设备地址192.168.{octet}.{octet}",
    "航班CA{4}延误",
    "高铁G{3}晚点{2}分钟",
    "股票代码{6}",
    "学号{year}{6}",
    "比例1:{4}，高{3}.{1}米",
    "第{3}期第{4}号",
    "读数{3} {4} {4}都不对",
    "{year}-{month}-{day} {hour}:{minute}到现在没水",
    "电梯注册代码{20}困人",
    "从{year}{month}{day}到{date}一直停工",
    "0755-12345打了没人接",
    "每年{5}元，共{6}元",
];

const DECOYS_EN: &[&str] = &[
    "SR number {year}{6} was closed",
    "service request {12} is still open",
    "ticket #{8}",
    "meter reads {7} gallons",
    "light pole {3}-{4} is leaning",
    "sensor at {lat_us},-{lon_us}",
    "ISBN 978-0-{2}-{6}-{1} is missing",
    "UPS 1Z999AA1{10} was never delivered",
    "USPS 9400 1118 9956 {4} {4} {2}",
    "ZIP {5}-{4}",
    "I called 311 and 911",
    "their line 1-800-{3}-{4} is busy",
    "on {month}/{day}/{year} at {hour}:{minute}",
    "parcel {3}-{3}-{3}-{4}",
    "billed ${2},{3},{3}.{2}",
    "epoch 17{8} in the log",
    "account 0{12} has the wrong owner",
    "case {year}-{4}-{4}",
    "{4} {street}, unit {3}",
    "bus {2} skipped stop {5}",
    "router RT-AC{4}-{4} is down",
    "flow {10} ml total",
    "invoice {4}-{4} was paid",
    "permit {year}{6} expired",
    "firmware 10.0.{octet}.{octet}",
    "pressure {3}.{2} kPa, flow {4}.{3}",
    "hydrant ID {letter}{8}",
    "order {3}-{7}-{7} from the store",
    "{year}-{month}-{day}T{hour}:{minute}:{minute}Z",
    "bin serial number {11}",
];

const NAMES: &[&str] = &["王", "李", "张", "刘", "陈", "杨", "黄", "赵", "吴", "周", "欧阳", "孙"];
const NAMES_EN: &[&str] = &["Maria", "Mr. Johnson", "Ms. Lee", "Ahmed", "Olga", "J. Smith", "Mrs. O'Neill"];
const PLACES: &[&str] = &["科苑路", "幸福小区", "深南大道", "龙华地铁站B口", "东门老街", "向阳小学", "人民医院", "海天花园三期"];
const STREETS: &[&str] = &["Main St", "5th Ave", "Westheimer Rd", "Fannin", "E 23rd Street", "Harbor Blvd"];
const PROVINCES: &[char] = &[
    '京', '津', '冀', '晋', '蒙', '辽', '吉', '黑', '沪', '苏', '浙', '皖', '闽', '赣', '鲁', '豫', '鄂', '湘', '粤', '桂', '琼', '渝', '川', '贵', '云', '藏', '陕', '甘', '青', '宁', '新',
];
/// First two digits of an identity number: the province.
const REGIONS: &[&str] = &[
    "11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37", "41", "42", "43", "44", "45", "46", "50", "51", "52", "53", "54", "61", "62", "63", "64", "65",
];
const AREAS: &[&str] = &["010", "021", "020", "0755", "0769", "0571", "0512", "0739", "027", "0898", "0371", "0592"];
const MOBILE: &[&str] = &["130", "133", "134", "135", "136", "137", "138", "139", "147", "150", "151", "155", "157", "158", "159", "166", "170", "173", "175", "177", "178", "180", "183", "186", "187", "188", "189", "191", "195", "198", "199"];
/// Beginnings of cards that Chinese banks issue, and how long those are.
const CARDS: &[(&str, usize)] = &[("622202", 19), ("621700", 19), ("622848", 19), ("621226", 19), ("622588", 16), ("621483", 16), ("622908", 18), ("623058", 19), ("436742", 16), ("601382", 19), ("625965", 16), ("620522", 17)];
const CARDS_WEST: &[(&str, usize)] = &[("4", 16), ("51", 16), ("55", 16), ("37", 15), ("6011", 16), ("34", 15), ("2221", 16)];
const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";

/// Puts something into every slot of a carrier. Slots of digits alone, `{8}`, are not personal.
fn fill(carrier: &str, zh: bool, rng: &mut StdRng) -> String {
    let mut text = String::new();
    let mut rest = carrier;
    while let Some((before, after)) = rest.split_once('{') {
        let (slot, after) = after.split_once('}').unwrap_or((after, ""));
        text.push_str(before);
        text.push_str(&value(slot, zh, rng));
        rest = after;
    }
    text + rest
}

fn value(slot: &str, zh: bool, rng: &mut StdRng) -> String {
    let (kind, written) = match slot {
        "phone" => ("phone", mobile(zh, rng)),
        "us_phone" => ("phone", phone_us(rng)),
        "landline" => ("landline", landline(rng)),
        "id" => ("id_card", identity(rng)),
        "ssn" => ("id_card", format!("{}-{:02}-{}", rng.random_range(101..660), rng.random_range(10..99), rng.random_range(1001..9999))),
        "plate" => ("plate", plate(rng)),
        "us_plate" => ("plate", plate_us(rng)),
        "card" => ("bank_card", card(CARDS, rng)),
        "card_west" => ("bank_card", card(CARDS_WEST, rng)),
        "email" => ("email", email(rng)),
        "passport" => ("passport", passport(&["E", "G", "EA", "EC", "EJ", "D", "PE"], rng)),
        "permit" => ("passport", passport(&["C", "CA", "CD", "W", "H", "M"], rng)),
        _ => return plain(slot, rng),
    };
    format!("{{{kind}:{written}}}")
}

/// What is not personal.
fn plain(slot: &str, rng: &mut StdRng) -> String {
    match slot {
        "name" => one(NAMES, rng).to_owned(),
        "name_en" => one(NAMES_EN, rng).to_owned(),
        "place" => one(PLACES, rng).to_owned(),
        "street" => one(STREETS, rng).to_owned(),
        "pole" => if rng.random_ratio(1, 2) { plain("mobile", rng) } else { digits(9, rng) },
        // A quantity that has the figures of a mobile number.
        "mobile" => format!("{}{}", one(MOBILE, rng), digits(8, rng)),
        "lat" => format!("22.5{}", digits(5, rng)),
        "lon" => format!("114.0{}", digits(5, rng)),
        "lat_us" => format!("29.7{}", digits(4, rng)),
        "lon_us" => format!("95.3{}", digits(4, rng)),
        "year" => rng.random_range(2019..2026).to_string(),
        "month" => format!("{:02}", rng.random_range(1..13)),
        "day" => format!("{:02}", rng.random_range(1..29)),
        "hour" => format!("{:02}", rng.random_range(0..24)),
        "minute" => format!("{:02}", rng.random_range(0..60)),
        "date" => ["year", "month", "day"].map(|part| plain(part, rng)).concat(),
        "bus" => format!("{}{}", one(&["", "M", "B", "E", "高峰专线"], rng), rng.random_range(1..400)),
        "letter" => letter(rng).to_string(),
        "octet" => rng.random_range(1..255).to_string(),
        count => digits(count.parse().expect("a slot of a carrier is known"), rng),
    }
}

fn mobile(zh: bool, rng: &mut StdRng) -> String {
    let number = format!("{}{}", one(MOBILE, rng), digits(8, rng));
    let grouped = |by: &str| format!("{}{by}{}{by}{}", &number[..3], &number[3..7], &number[7..]);
    let between = *[" ", " ", "-", "-", ".", "·", "－", "　", "  ", " - "].choose(rng).unwrap_or(&" ");
    match rng.random_range(0..100) {
        0..50 => number,
        50..72 => grouped(between),
        72..84 => {
            let code = one(&["+86", "+86 ", "+86-", "86-", "0086 ", "0086-", "(+86)", "（+86）"], rng);
            format!("{code}{}", if rng.random_bool(0.5) { number } else { grouped(between) })
        }
        84..90 => wide(&if rng.random_bool(0.5) { number } else { grouped("-") }),
        90..93 => number.chars().map(String::from).collect::<Vec<_>>().join(" "),
        93..96 => format!("{} {}", &number[..7], &number[7..]),
        96..98 => format!("{} {} {}", &number[..3], &number[3..6], &number[6..]),
        _ if zh => spoken(&number, rng),
        _ => number,
    }
}

/// As it is read out: 一三八, or 幺三八.
fn spoken(number: &str, rng: &mut StdRng) -> String {
    let mut signs: Vec<char> = "零一二三四五六七八九".chars().collect();
    if rng.random_bool(0.5) {
        signs[1] = '幺';
    }
    number.bytes().map(|digit| signs[usize::from(digit - b'0')]).collect()
}

fn phone_us(rng: &mut StdRng) -> String {
    let area = one(&["713", "281", "832", "410", "443", "212", "646", "917", "347", "202", "512"], rng);
    let exchange = format!("{}{}", rng.random_range(2..10), rng.random_range(20..100));
    let line = digits(4, rng);
    match rng.random_range(0..10) {
        0..3 => format!("{area}-{exchange}-{line}"),
        3 | 4 => format!("({area}) {exchange}-{line}"),
        5 => format!("{area}.{exchange}.{line}"),
        6 => format!("{area}{exchange}{line}"),
        7 => format!("+1 {area}-{exchange}-{line}"),
        8 => format!("{area} {exchange} {line}"),
        _ => format!("1-{area}-{exchange}-{line}"),
    }
}

fn landline(rng: &mut StdRng) -> String {
    let area = one(AREAS, rng);
    let length = if matches!(area, "0739" | "0592") { 7 } else { 8 };
    let number = format!("{}{}", rng.random_range(2..9), digits(length - 1, rng));
    match rng.random_range(0..10) {
        0..3 => format!("{area}-{number}"),
        3 | 4 => format!("{area} {number}"),
        5 => format!("({area}){number}"),
        6 => format!("（{area}）{number}"),
        7 => format!("{area}{number}"),
        8 => format!("{area}-{} {}", &number[..length - 4], &number[length - 4..]),
        _ => wide(&format!("{area}-{number}")),
    }
}

fn identity(rng: &mut StdRng) -> String {
    let region = format!("{}{:02}{:02}", one(REGIONS, rng), rng.random_range(1..25), rng.random_range(1..30));
    let (year, month, day) = (rng.random_range(1935..2019), rng.random_range(1..13), rng.random_range(1..29));
    if year < 1985 && rng.random_ratio(1, 6) {
        return format!("{region}{:02}{month:02}{day:02}{}", year - 1900, digits(3, rng));
    }
    let body = format!("{region}{year}{month:02}{day:02}{}", digits(3, rng));
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: usize = body.bytes().zip(weights).map(|(digit, weight)| usize::from(digit - b'0') * weight).sum();
    let mut check = char::from(b"10X98765432"[sum % 11]);
    if check == 'X' && rng.random_bool(0.5) {
        check = 'x';
    }
    match rng.random_range(0..20) {
        0..14 => format!("{body}{check}"),
        14 | 15 => format!("{} {} {}{check}", &body[..6], &body[6..14], &body[14..]),
        16 => format!("{}-{}-{}{check}", &body[..6], &body[6..14], &body[14..]),
        17 => wide(&format!("{body}{check}")),
        18 => format!("{} {} {} {}{check}", &body[..6], &body[6..10], &body[10..14], &body[14..]),
        // Somebody mistook the last figure: it says who it is all the same.
        _ => format!("{body}{}", if check == '7' { '3' } else { '7' }),
    }
}

fn plate(rng: &mut StdRng) -> String {
    let province = PROVINCES.choose(rng).copied().unwrap_or('粤');
    let city = letter(rng);
    let places = |count: usize, rng: &mut StdRng| {
        let mut text = digits(count, rng);
        for _ in 0..rng.random_range(0..3) {
            let at = rng.random_range(0..count);
            text.replace_range(at..=at, &letter(rng).to_string());
        }
        text
    };
    let dot = one(&["", "", "", "", "·", "·", "-", " ", "•"], rng);
    let text = match rng.random_range(0..20) {
        0..10 => format!("{province}{city}{dot}{}", places(5, rng)),
        10..14 => format!("{province}{city}{dot}{}{}", if rng.random_bool(0.6) { 'D' } else { 'F' }, digits(5, rng)),
        14 => format!("{province}{city}{dot}{}{}", digits(5, rng), if rng.random_bool(0.6) { 'D' } else { 'F' }),
        15 => format!("{province}{city}{}{}", places(4, rng), one(&["警", "学", "挂"], rng)),
        16 => format!("粤Z{dot}{}{}", places(4, rng), one(&["港", "澳"], rng)),
        17 => format!("{province}{city}{}领", digits(4, rng)),
        18 => wide(&format!("{province}{city}{}", places(5, rng))),
        _ => format!("WJ{province}{}", digits(5, rng)),
    };
    if rng.random_ratio(1, 12) { text.to_lowercase() } else { text }
}

fn plate_us(rng: &mut StdRng) -> String {
    let letters: String = (0..3).map(|_| letter(rng)).collect();
    match rng.random_range(0..3) {
        0 => format!("{letters}-{}", digits(4, rng)),
        1 => format!("{letters} {}", digits(4, rng)),
        _ => format!("{}{letters}{}", rng.random_range(1..10), digits(3, rng)),
    }
}

fn card(issued: &[(&str, usize)], rng: &mut StdRng) -> String {
    let (begin, length) = issued.choose(rng).copied().unwrap_or(("62", 19));
    let mut number = format!("{begin}{}", digits(length - begin.len() - 1, rng));
    let sum: u32 = number.bytes().rev().enumerate().map(|(at, digit)| {
        let digit = u32::from(digit - b'0');
        if at % 2 == 1 { digit } else { digit / 5 + digit * 2 % 10 }
    }).sum();
    number.push_str(&((10 - sum % 10) % 10).to_string());
    let grouped = |by: &str| number.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group).into_owned()).collect::<Vec<_>>().join(by);
    match rng.random_range(0..10) {
        0..6 => number,
        6 | 7 => grouped(" "),
        8 => grouped("-"),
        _ => wide(&number),
    }
}

fn email(rng: &mut StdRng) -> String {
    let name = one(&["zhang.wei", "li_na", "wangfang", "chen-hao", "j.doe", "maria+city", "xiaoming2008", "Olga"], rng);
    let number = if rng.random_bool(0.5) { digits(3, rng) } else { String::new() };
    let host = one(&["example.com", "example.org", "mail.example.cn", "post.example.net", "vip.example.com.cn", "EXAMPLE.COM"], rng);
    let text = if rng.random_ratio(1, 5) { format!("{}@{host}", digits(9, rng)) } else { format!("{name}{number}@{host}") };
    if rng.random_ratio(1, 12) { text.replace('@', "＠") } else { text }
}

fn passport(begins: &[&str], rng: &mut StdRng) -> String {
    let begin = one(begins, rng);
    format!("{begin}{}", digits(9 - begin.len(), rng))
}

/// Full width.
fn wide(text: &str) -> String {
    text.chars().map(|c| if ('!'..='~').contains(&c) { char::from_u32(u32::from(c) + 0xFEE0).unwrap_or(c) } else { c }).collect()
}

fn digits(count: usize, rng: &mut StdRng) -> String {
    (0..count).map(|_| char::from(b'0' + rng.random_range(0..10_u8))).collect()
}

fn letter(rng: &mut StdRng) -> char {
    LETTERS.choose(rng).map_or('A', |letter| char::from(*letter))
}

fn one<'a>(of: &[&'a str], rng: &mut StdRng) -> &'a str {
    of.choose(rng).copied().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_the_same_sentences() {
        assert_eq!(sentences(3, 50), sentences(3, 50));
        assert_ne!(sentences(3, 50), sentences(4, 50));
    }

    #[test]
    fn every_slot_of_every_carrier_is_known() {
        let mut rng = StdRng::seed_from_u64(1);
        for carriers in [CARRIERS_ZH, CARRIERS_EN, DECOYS_ZH, DECOYS_EN] {
            for carrier in carriers {
                let filled = fill(carrier, true, &mut rng);
                assert_eq!(filled.contains("{phone:"), carrier.contains("{phone}") || carrier.contains("{us_phone}"), "{carrier}");
            }
        }
    }
}
