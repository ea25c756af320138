//! The invented city: eight districts on both banks of a river, their streets and places, and where its stations stand.

use rehearsal::Dice;

/// Millionths of a degree.
pub type Microdegrees = i64;

/// A district of the city.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct District {
    /// The beginning of its stations' ids.
    pub id: &'static str,
    /// Its name in Chinese: what events and the duty graph call it.
    pub zh: &'static str,
    /// Its name in English.
    pub en: &'static str,
    /// Latitude of its middle.
    pub lat: Microdegrees,
    /// Longitude of its middle.
    pub lon: Microdegrees,
    /// Minutes after the first district that the storm reaches it.
    pub storm_delay_min: i64,
    /// How much of the storm it gets, per mille.
    pub storm_share: i64,
    /// Whether its underpasses lie low: they fill faster than the pumps empty them.
    pub low: bool,
    /// Its share of the city's people, per mille of all.
    pub people: u64,
    /// Its streets.
    pub streets: &'static [(&'static str, &'static str)],
    /// Places people name.
    pub places: &'static [(&'static str, &'static str)],
    /// Its underpasses; the first ones are the deepest.
    pub underpasses: &'static [(&'static str, &'static str)],
}

/// The districts, from west to east along the way of the storm.
pub const DISTRICTS: [District; 8] = [
    District {
        id: "d01", zh: "北岸区", en: "Bei'an", lat: 30_612_000, lon: 114_305_000,
        storm_delay_min: 0, storm_share: 860, low: false, people: 150,
        streets: &[("沿江大道", "Yanjiang Avenue"), ("建设路", "Jianshe Road"), ("黄浦路", "Huangpu Road"), ("解放公园路", "Jiefang Park Road"), ("永清街", "Yongqing Street")],
        places: &[("永清小区", "Yongqing Estate"), ("北岸第三小学", "Bei'an No. 3 Primary School"), ("江滩公园", "Riverside Park")],
        underpasses: &[("黄浦路下穿", "Huangpu Road underpass"), ("建设路铁路桥洞", "Jianshe Road rail culvert"), ("永清街地道", "Yongqing Street tunnel"), ("解放公园路下穿", "Jiefang Park Road underpass")],
    },
    District {
        id: "d02", zh: "滨江区", en: "Binjiang", lat: 30_575_000, lon: 114_268_000,
        storm_delay_min: 6, storm_share: 1000, low: true, people: 140,
        streets: &[("湖滨路", "Hubin Road"), ("新华路", "New China Road"), ("排湖街", "Paihu Street"), ("常青一路", "Changqing 1st Road"), ("菱角湖路", "Lingjiaohu Road")],
        places: &[("湖滨花园", "Lakeside Garden"), ("常青中学", "Changqing Middle School"), ("滨江市民中心", "Binjiang Civic Centre")],
        underpasses: &[("湖滨路下穿通道", "Hubin Road underpass"), ("新华路铁路涵洞", "New China Road rail culvert"), ("排湖街地道", "Paihu Street tunnel"), ("菱角湖路下穿", "Lingjiaohu Road underpass")],
    },
    District {
        id: "d03", zh: "西城区", en: "Xicheng", lat: 30_588_000, lon: 114_322_000,
        storm_delay_min: 10, storm_share: 780, low: false, people: 170,
        streets: &[("中山大道", "Zhongshan Avenue"), ("民主路", "Minzhu Road"), ("胜利街", "Shengli Street"), ("友谊路", "Youyi Road"), ("鼓楼东街", "East Drum Tower Street")],
        places: &[("鼓楼广场", "Drum Tower Square"), ("胜利街菜市场", "Shengli Street Market"), ("市第一医院", "First City Hospital")],
        underpasses: &[("中山大道下穿", "Zhongshan Avenue underpass"), ("友谊路地道", "Youyi Road tunnel"), ("民主路下穿", "Minzhu Road underpass"), ("鼓楼地下通道", "Drum Tower subway")],
    },
    District {
        id: "d04", zh: "东城区", en: "Dongcheng", lat: 30_531_000, lon: 114_360_000,
        storm_delay_min: 14, storm_share: 700, low: false, people: 130,
        streets: &[("大学路", "University Road"), ("书院街", "Academy Street"), ("珞南路", "Luonan Road"), ("学府三路", "Xuefu 3rd Road"), ("桂子巷", "Guizi Lane")],
        places: &[("江城理工大学", "Jiangcheng Institute of Technology"), ("书院街幼儿园", "Academy Street Kindergarten"), ("东城图书馆", "Dongcheng Library")],
        underpasses: &[("大学路下穿", "University Road underpass"), ("珞南路下穿", "Luonan Road underpass"), ("书院街地道", "Academy Street tunnel"), ("学府三路桥洞", "Xuefu 3rd Road culvert")],
    },
    District {
        id: "d05", zh: "青湾区", en: "Qingwan", lat: 30_632_000, lon: 114_391_000,
        storm_delay_min: 18, storm_share: 960, low: true, people: 120,
        streets: &[("钢城大道", "Steelworks Avenue"), ("工人村路", "Workers' Village Road"), ("友爱街", "You'ai Street"), ("港东路", "Gangdong Road"), ("冶金街", "Metallurgy Street")],
        places: &[("工人村七街坊", "Workers' Village Block 7"), ("青湾职工医院", "Qingwan Workers' Hospital"), ("钢城菜场", "Steelworks Market")],
        underpasses: &[("钢城大道下穿", "Steelworks Avenue underpass"), ("港东路铁路桥洞", "Gangdong Road rail culvert"), ("友爱街下穿", "You'ai Street underpass"), ("冶金街地道", "Metallurgy Street tunnel")],
    },
    District {
        id: "d06", zh: "高新区", en: "Gaoxin", lat: 30_498_000, lon: 114_410_000,
        storm_delay_min: 24, storm_share: 620, low: false, people: 110,
        streets: &[("高新大道", "Gaoxin Avenue"), ("光芒路", "Guangmang Road"), ("软件园中路", "Software Park Middle Road"), ("流芳路", "Liufang Road"), ("未来一路", "Future 1st Road")],
        places: &[("高新软件园", "Gaoxin Software Park"), ("流芳花苑", "Liufang Court"), ("新区政务中心", "New Area Service Centre")],
        underpasses: &[("高新大道下穿", "Gaoxin Avenue underpass"), ("光芒路下穿", "Guangmang Road underpass"), ("流芳路地道", "Liufang Road tunnel"), ("未来一路下穿", "Future 1st Road underpass")],
    },
    District {
        id: "d07", zh: "南桥区", en: "Nanqiao", lat: 30_470_000, lon: 114_318_000,
        storm_delay_min: 28, storm_share: 540, low: false, people: 100,
        streets: &[("南桥大街", "Nanqiao High Street"), ("夹河路", "Jiahe Road"), ("纸坊路", "Zhifang Road"), ("青龙街", "Qinglong Street"), ("教育路", "Jiaoyu Road")],
        places: &[("南桥实验中学", "Nanqiao Experimental School"), ("夹河小区", "Jiahe Estate"), ("青龙街夜市", "Qinglong Street Night Market")],
        underpasses: &[("南桥大街下穿", "Nanqiao High Street underpass"), ("夹河路桥洞", "Jiahe Road culvert"), ("纸坊路下穿", "Zhifang Road underpass"), ("青龙街地道", "Qinglong Street tunnel")],
    },
    District {
        id: "d08", zh: "临山区", en: "Linshan", lat: 30_545_000, lon: 114_470_000,
        storm_delay_min: 34, storm_share: 480, low: false, people: 80,
        streets: &[("临山路", "Linshan Road"), ("茶场路", "Tea Farm Road"), ("石门街", "Shimen Street"), ("云岭路", "Yunling Road"), ("水库路", "Reservoir Road")],
        places: &[("云岭村", "Yunling Village"), ("石门水库", "Shimen Reservoir"), ("临山卫生院", "Linshan Clinic")],
        underpasses: &[("临山路下穿", "Linshan Road underpass"), ("石门街桥洞", "Shimen Street culvert"), ("云岭路下穿", "Yunling Road underpass"), ("茶场路地道", "Tea Farm Road tunnel")],
    },
];

/// An address in the words of the city.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// In Chinese, as in `民主路35号`.
    pub zh: String,
    /// In English.
    pub en: String,
    /// Latitude.
    pub lat: Microdegrees,
    /// Longitude.
    pub lon: Microdegrees,
}

impl District {
    /// An address somewhere in the district.
    pub fn address(&self, dice: &mut Dice) -> Address {
        let (zh, en) = *dice.pick(self.streets);
        let number = dice.between(1, 288);
        let (lat, lon) = self.point(dice);
        match dice.below(10) {
            0..=1 => {
                let (place_zh, place_en) = *dice.pick(self.places);
                Address { zh: format!("{zh}{place_zh}"), en: format!("{place_en}, {en}"), lat, lon }
            }
            2 => {
                let (other_zh, other_en) = *dice.pick(self.streets);
                Address { zh: format!("{zh}与{other_zh}路口"), en: format!("the corner of {en} and {other_en}"), lat, lon }
            }
            3 => {
                let side = *dice.pick(&["对面", "旁边", "门口", "后面巷子里"]);
                Address { zh: format!("{zh}{number}号{side}"), en: format!("near {number} {en}"), lat, lon }
            }
            _ => Address { zh: format!("{zh}{number}号"), en: format!("{number} {en}"), lat, lon },
        }
    }

    /// A point in the district.
    pub fn point(&self, dice: &mut Dice) -> (Microdegrees, Microdegrees) {
        (self.lat + dice.wobble(15_000), self.lon + dice.wobble(17_000))
    }
}

/// The district with an id.
pub fn district(id: &str) -> &'static District {
    DISTRICTS.iter().find(|district| district.id == id).expect("planted stories name districts that exist")
}
