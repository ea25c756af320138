"""Makes up roads, communities, villages, landmarks, addresses and times; no name stands for a real place.

Names are put together from pools of characters or syllables; a tenth of the stems (by digest) is kept for validation, so that its places are never seen in training.
"""

import zlib
from random import Random

COMMON = (
    "东南西北中上下大小新老金银玉宝福寿康宁安平和顺兴旺盛昌隆发祥瑞吉庆春夏秋冬梅兰竹菊松柏桃李杏柳杨桂荷莲枫桐榆槐樟棠丹凤龙虎鹤鹿马牛羊雁鹭鸿云霞虹雪霜露星月日光明"
    "天地山水江河湖海溪泉潭塘湾港洲岛屿岭峰岩石沙田园林森草花果茶稻禾麦桑麻丝锦绣文武学士翰墨书香礼义仁智信德善美佳雅逸清静幽翠碧青蓝紫红黄白黑朱赤丰华荣富贵国民"
    "建设振业工农商贸科技创开元启承泰嘉景汇博迎宾望远滨阳辰昊泽润沁涵澜沧浦泾淮渭汉沅湘赣闽粤滇黔川陕晋冀鲁豫皖苏浙鄂桥亭楼阁台坊市井巷营寨堡屯集镇店铺窑坪坝沟坡"
    "城关庙寺塔钟鼓旗箭弓车船码前后左右内外长短高低三四五六七八九十百千万双鲁胡赵钱孙周吴郑王冯陈韩沈朱秦许何吕张孔曹严谢邹苏潘葛范彭郎韦昌苗方俞任袁柳史唐薛雷贺倪"
)
LEVEL1 = [bytes([a, b]).decode("gb2312") for a in range(0xB0, 0xD8) for b in range(0xA1, 0xFF) if not (a == 0xD7 and b > 0xF9)]
LEVEL2 = [bytes([a, b]).decode("gb2312") for a in range(0xD8, 0xF8) for b in range(0xA1, 0xFF)]
ROAD = "路 路 路 街 大道 巷 东路 西路 南路 北路 中路 一路 二路 三路 大街 胡同 弄 横街 支路 环路 公路 北街 南大街 快速路 小路 步行街 东街 里巷".split()
HOME = (
    "小区 花园 家园 苑 新村 公寓 府 城 湾 里 名邸 华庭 山庄 社区 佳苑 豪庭 国际城 新城 花苑 雅居 嘉园 一村 三村 东区 西苑 宿舍 家属院 安置小区 人家 郡 "
    "公馆 世家 丽景 名都 雅苑 小区二期 花园一期 新寓 大院 水岸 阳光城 印象"
).split()
VILLAGE = "村 村 庄 屯 家湾 家沟 家坡 店村 家集 坝村 寨 家桥村 岭村 新村 湾村 家塘 圩".split()
LANDMARK = (
    "小学 中学 幼儿园 医院 菜市场 广场 公园 大桥 桥 超市 商场 大厦 批发市场 加油站 电影院 客运站 火车站 地铁站 立交桥 隧道 水库 码头 工业园 酒店 农贸市场 体育馆 "
    "图书馆 步行街 公交站 卫生院 派出所 派出所 敬老院 建材城 物流园 高架 收费站 天桥 河 湖 湿地公园 汽车站 购物中心 写字楼 实验学校 第二小学 一中 职校 大学 寺 菜场 街心花园 "
    "小学北校区 妇幼保健院 人民医院 社区卫生服务中心 市民中心 会展中心 科技园 开发区 煤矿 水厂 电厂 化工厂 机械厂 纺织厂 工地 夜市 美食城 文化宫 少年宫 驾校 家具城"
).split()
AREA = "区 区 县 市 镇 街道 乡 开发区 新区".split()
DIGITS = "零一二三四五六七八九"
SYLLABLES = (
    "ash oak elm bir ching wood field mill stone bridge ford ham ton ley brook hill dale mer wick thorn green white black silver spring river lake fair west east north south "
    "king queen bar ben car dan el far gar hal jen kel lin mar nor pem ros sal tan ven wes yor mont clair vill dor ber ing rock clif har grove wal den ster shire port land"
).split()
PINYIN = (
    "zhong shan ren min jie fang chang an he ping xin hua dong feng hong qi guang ming jin long yu lan bei jing nan hai tian xi hu cheng da lu yong le shun de fu kang ning "
    "gui lin mei yun qing shui bao tai wen xing jia zi jiang chun hui quan"
).split()
STREET = "Street St Road Rd Avenue Ave Lane Drive Dr Court Boulevard Blvd Way Place Terrace Close Crescent Square Parkway Row".split()
EN_PLACE = (
    "Park|Primary School|Elementary School|High School|Station|Metro Station|Mall|Bridge|Library|Hospital|Market|Plaza|Gardens|Estate|Apartments|Towers|Square|Bus Terminal|"
    "Community Center|Church|Hotel|Clinic|Museum|Stadium|Village|Court|Heights|Shopping Centre|Industrial Park|Harbour|Pier|Lake|River Trail|University|Kindergarten|Supermarket|Cinema|Playground"
).split("|")


def kept(stem: str) -> bool:
    """Is this stem kept for validation?"""
    return zlib.crc32(stem.encode()) % 10 == 0


class Maker:
    """Makes places and times from one stream of chance."""

    def __init__(self, rng: Random, validation: bool):
        self.rng, self.validation = rng, validation

    def stem(self) -> str:
        """One to three Chinese characters that are a name."""
        r = self.rng
        while True:
            n = r.choices((1, 2, 3, 4), (4, 76, 16, 4))[0]
            u = r.random()
            pool = COMMON if u < 0.45 else LEVEL1 if u < 0.88 else LEVEL2
            text = "".join(r.choice(pool) if r.random() < 0.8 else r.choice(COMMON) for _ in range(n))
            if kept(text) == self.validation:
                return text

    def word(self) -> str:
        """An English-looking name."""
        r = self.rng
        while True:
            if r.random() < 0.3:
                text = "".join(r.choice(PINYIN) for _ in range(r.choice((2, 2, 3))))
            else:
                text = "".join(r.choice(SYLLABLES) for _ in range(r.choice((1, 2, 2, 2, 3))))
            if kept(text) == self.validation:
                return text.capitalize()

    def number(self, low: int, high: int) -> str:
        """A number in digits or, seldom, in Chinese characters."""
        value = self.rng.randint(low, high)
        return han(value) if self.rng.random() < 0.15 and value < 100 else str(value)

    def road(self) -> str:
        """A road's name."""
        return self.stem() + self.rng.choice(ROAD)

    def home(self) -> str:
        """A community's name."""
        r = self.rng
        return self.stem() + r.choice(HOME) + (r.choice(("一期", "二期", "A区", "北区", "三期", "2期")) if r.random() < 0.08 else "")

    def area(self) -> str:
        """District, county or town, sometimes written with letters as in published, anonymised messages."""
        r = self.rng
        if r.random() < 0.15:
            return r.choice("ABCDEFGHKLMX") + r.choice(("市", "市", "")) + r.choice("ABCDEFGHJ") + r.choice(("", "1", "2", "3", "4", "7", "9")) + r.choice(("区", "县", "市"))
        first = self.stem() + r.choice(AREA)
        return first + (self.stem() + r.choice(("镇", "街道", "乡")) if r.random() < 0.25 else "")

    def building(self) -> str:
        """Building, unit and room."""
        r = self.rng
        text = r.choice(("{}栋", "{}号楼", "{}幢", "{}#楼", "{}座", "{}栋")).format(r.choice("ABCD") if r.random() < 0.12 else self.number(1, 60))
        if r.random() < 0.5:
            text += r.choice(("{}单元", "{}单元", "{}门", "{}梯")).format(self.number(1, 6))
        if r.random() < 0.4:
            text += r.choice(("{}室", "{}", "{}房", "{}户")).format(r.randint(1, 33) * 100 + r.randint(1, 8))
        return text

    def place(self) -> tuple[str | None, str]:
        """An address (or None) and the place's name, in Chinese."""
        r = self.rng
        u = r.random()
        if u < 0.17:
            road = self.road()
            number = r.choice(("{}号", "{}号", "{}号", "{}弄{}号", "{}号院", "{}-{}号", "{}号附{}号", "{}号{}楼")).replace("{}", "%s")
            count = number.count("%s")
            address = road + number % tuple(self.number(1, 900 if i == 0 else 30) for i in range(count))
            if r.random() < 0.3:
                address += self.building()
            return self.prefix(address), road
        if u < 0.3:
            home = self.home()
            return self.prefix(home + self.building()), home
        if u < 0.37:
            home, road = self.home(), self.road()
            return self.prefix(f"{road}{self.number(1, 800)}号{home}{self.building() if r.random() < 0.6 else ''}"), home
        if u < 0.42:
            village = self.village()
            return self.prefix(f"{village}{r.choice(('{}组', '{}组{}号', '{}队', '第{}村民小组', '{}号')).replace('{}', self.number(1, 20))}"), village
        if u < 0.5:
            return None, self.crossing()
        if u < 0.58:
            return None, self.village()
        if u < 0.7:
            return None, self.home()
        if u < 0.83:
            return None, self.road()
        return None, self.landmark()

    def prefix(self, address: str) -> str:
        """The address, sometimes after its district."""
        return self.area() + address if self.rng.random() < 0.3 else address

    def village(self) -> str:
        """A village."""
        return self.stem()[:2] + self.rng.choice(VILLAGE)

    def landmark(self) -> str:
        """A named building, station, school, bridge and the like."""
        r = self.rng
        return (r.choice("123456789") + "号线" if r.random() < 0.02 else "") + self.stem() + r.choice(LANDMARK)

    def crossing(self) -> str:
        """Where two roads meet."""
        return self.road() + self.rng.choice(("与", "和", "跟", "", "、", "-")) + self.road() + self.rng.choice(("交叉口", "路口", "交汇处", "十字路口", "交叉路口", "丁字路口"))

    def other(self) -> str:
        """A place that is not the scene."""
        return self.rng.choice((self.home, self.road, self.landmark, self.village))()

    def time(self) -> str:
        """Words for a moment, in Chinese."""
        r = self.rng
        n = self.number
        day = r.choice(
            "今天 昨天 前天 昨晚 今早 今儿 刚才 前几天 上周 上个星期 这个周末 大前天 上个月 去年 前年 今年春节 国庆节那天 中秋前后 开学那天 星期天 本周".split()
            + [f"周{r.choice('一二三四五六日')}", f"上周{r.choice('一二三四五六日')}", f"星期{r.choice('一二三四五六')}", f"{n(1, 12)}月{n(1, 30)}日", f"{n(1, 12)}月{n(1, 30)}号", f"{n(1, 30)}号", f"{n(1, 30)}号"]
            + [f"{r.randint(2012, 2026)}年{r.randint(1, 12)}月", f"{r.randint(2012, 2026)}年{r.randint(1, 12)}月{r.randint(1, 28)}日", f"去年{n(1, 12)}月", f"今年{n(1, 12)}月份", f"{n(1, 12)}月初", f"{r.randint(2015, 2026)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}"]
        )
        if r.random() < 0.55 and day not in ("刚才", "去年", "前年", "前几天", "上个月", "上周"):
            hour = r.choice("早上 上午 中午 下午 晚上 凌晨 傍晚 半夜 清晨 夜里".split())
            day += hour if r.random() < 0.3 else f"{hour}{n(1, 12)}点{r.choice(('', '', '半', '多', '钟', '左右', f'{r.randint(10, 59)}分', '一刻'))}" if r.random() < 0.8 else f"{r.randint(0, 23)}:{r.randint(0, 59):02}"
        elif r.random() < 0.12:
            return r.choice(("十分钟前", "半小时前", "刚刚", "一个小时前", "两个钟头以前", "入冬以来", "每天晚上", "每逢下雨", "每天凌晨", "最近", "近期", "这几天", "雨季", "放暑假后", "台风过后", "从小到大"))
        return day

    def span(self) -> str:
        """Words for how long, in Chinese."""
        r = self.rng
        return r.choice(("三天", "半个月", "一年", "好几年", "两三个月", "一个礼拜", "整整一周", "大半年", "好几天", "快两个月", "一个多小时", "半天", "四五天", f"{self.number(2, 30)}天", f"{self.number(2, 11)}个月", f"{self.number(2, 9)}年", f"{self.number(2, 20)}个小时", f"{self.number(2, 8)}个星期"))

    def en_place(self) -> tuple[str | None, str]:
        """An address (or None) and the place's name, in English."""
        r = self.rng
        street = f"{self.word()} {r.choice(STREET)}"
        if r.random() < 0.25:
            street = f"{r.choice(('West', 'East', 'North', 'South', 'N', 'Old', 'Upper'))} {street}"
        u = r.random()
        if u < 0.3:
            address = f"{r.randint(1, 2400)} {street}" + (r.choice((f", Apt {r.randint(1, 40)}{r.choice('ABCD')}", f" Unit {r.randint(1, 30)}", f", Building {r.randint(1, 20)}", f", Flat {r.randint(1, 60)}")) if r.random() < 0.3 else "")
            return address, street
        if u < 0.38:
            home = f"{self.word()} {r.choice(('Gardens', 'Estate', 'Apartments', 'Court', 'Towers'))}"
            return f"Building {r.randint(1, 30)}, {home}", home
        if u < 0.5:
            return None, f"{street} and {self.word()} {r.choice(STREET)}"
        if u < 0.7:
            return None, street
        return None, f"{self.word()} {r.choice(EN_PLACE)}"

    def en_time(self) -> str:
        """Words for a moment, in English."""
        r = self.rng
        day = r.choice(
            ["yesterday", "today", "last night", "this morning", "last week", "two days ago", "on Monday", "last Sunday", "since Friday", "on Tuesday morning", "just now", "ten minutes ago", "last month", "every night", "after the storm", "this weekend", "earlier today"]
            + [f"on {r.choice('January February March April May June July August September October November December'.split())} {r.randint(1, 28)}", f"at {r.randint(1, 12)} {r.choice(('am', 'pm'))}", f"around {r.randint(1, 12)}:{r.randint(10, 59)}", f"since {r.choice('January March May June October'.split())}"]
        )
        if r.random() < 0.2 and day in ("yesterday", "today", "last Sunday", "on Monday"):
            day += f" at {r.randint(1, 12)} {r.choice(('am', 'pm', 'o' + chr(39) + 'clock'))}"
        return day

    def en_span(self) -> str:
        """Words for how long, in English."""
        r = self.rng
        return r.choice((f"{r.randint(2, 9)} {r.choice(('days', 'weeks', 'months', 'hours', 'years'))}", "three days", "a week", "over a month", "half a year", "two hours", "ages", "almost a year"))


def han(value: int) -> str:
    """A number below 100 in Chinese characters."""
    if value < 10:
        return DIGITS[value]
    tens, ones = divmod(value, 10)
    return ("" if tens == 1 else DIGITS[tens]) + "十" + (DIGITS[ones] if ones else "")
