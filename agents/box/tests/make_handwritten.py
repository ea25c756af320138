"""Hand-written test messages, none of them from a template; writes `handwritten.jsonl` beside this file.

Slots are written in the order address | place | time | people | thing | wish, `-` for nothing.
"""

import json
from pathlib import Path

EXTRACT = """
麓枫路88号门口的水管昨晚裂了，现在还在漏，麻烦派个师傅。 # 麓枫路88号 | 麓枫路 | 昨晚 | - | 水管 | 派个师傅 # 麓枫路水管漏水
我妈在文昌阁社区买菜回来被没盖的井绊倒，脚踝肿得老高，你们把井盖装上行不行？ # - | 文昌阁社区 | - | 我妈 | 井盖 | 把井盖装上 # 文昌阁社区井盖缺失
从国庆到现在，雅塘村一到晚上就有人烧电线皮，熏得我们关窗都没用，查查吧 # - | 雅塘村 | 国庆到现在 | - | 电线皮 | 查查 # 雅塘村烧电线皮
观沙岭二小门前的斑马线磨得看不见，接孩子的时候特别吓人，请重新画一下。 # - | 观沙岭二小 | - | - | 斑马线 | 重新画一下 # 观沙岭二小斑马线模糊
金色家园7栋3单元电梯从周一坏到今天，十楼有位透析病人下不来，恳求物业尽快修好。 # 金色家园7栋3单元 | 金色家园 | 周一 | 透析病人 | 电梯 | 尽快修好 # 金色家园电梯停运
你好，万家丽路和劳动路交叉口红绿灯坏了，四个方向都是绿灯，赶紧来人！ # - | 万家丽路和劳动路交叉口 | - | - | 红绿灯 | 赶紧来人 # 万家丽路和劳动路交叉口红绿灯坏了
老板跑路了，欠我们十七个人三个月工钱，工地在滨河新区的安澜府。 # - | 安澜府 | 三个月 | 十七个人 | 工钱 | - # 安澜府工地欠工钱
凌晨两点了，楼下烧烤摊还在划拳，明天还要高考！ # - | - | 凌晨两点 | - | 烧烤摊 | - # 烧烤摊扰民
请问老年公交卡年审在哪里办？ # - | - | - | - | 老年公交卡 | - # 咨询老年公交卡年审
谢谢香樟派出所的陈警官，上周六帮我把走丢的父亲送回家。 # - | 香樟派出所 | 上周六 | 我把走丢的父亲 | 陈警官 | - # 感谢香樟派出所陈警官
紫薇路12号院围墙歪了，底下停的车都不敢动，找人来加固吧，我前天跟社区说过没用。 # 紫薇路12号院 | 紫薇路 | - | - | 围墙 | 找人来加固 # 紫薇路12号院围墙歪了
我家住兰亭苑，但要说的是对面清溪桥，桥栏杆少了三根，昨天有个小孩差点掉下去。 # - | 清溪桥 | 昨天 | 小孩 | 桥栏杆 | - # 清溪桥桥栏杆缺失
雨花路积水，公交车都抛锚了，水还在涨 # - | 雨花路 | - | - | 公交车 | - # 雨花路积水
幸福里小区东门外垃圾两周没清，野狗在里面翻，恶心死了 # - | 幸福里小区 | 两周 | - | 垃圾 | - # 幸福里小区垃圾未清
今天上午10点左右，湘府大桥上一辆货车侧翻，驾驶员卡在里面，快救人！ # - | 湘府大桥 | 今天上午10点左右 | 驾驶员 | 货车 | 快救人 # 湘府大桥货车侧翻
厂里让我们连上十四天班不给加班费，合同也没签，想让劳动局管管。 # - | - | 十四天 | - | 加班费 | 管管 # 不给加班费未签合同
东塘街道麻园湾5号一楼，天然气味道很冲，我们已经跑出来了 # 东塘街道麻园湾5号一楼 | 麻园湾 | - | - | 天然气 | - # 麻园湾天然气味道
村口那棵老槐树半边枯了，树底下天天坐着一群老人，早点锯掉好些。 # - | - | - | 一群老人 | 老槐树 | 早点锯掉 # 村口老槐树枯了
建议在人民公园装几台自动售水机，夏天跑步的人多。 # - | 人民公园 | 夏天 | - | 自动售水机 | 装几台自动售水机 # 建议人民公园装自动售水机
楼顶装的信号塔到底有没有辐射？翡翠城二期的业主都不放心，要个检测报告。 # - | 翡翠城二期 | - | 业主 | 信号塔 | 要个检测报告 # 翡翠城二期信号塔辐射
九月十二号下午在新世纪体育馆参加活动，看台塌了一块，三名观众受伤。 # - | 新世纪体育馆 | 九月十二号下午 | 三名观众 | 看台 | - # 新世纪体育馆看台塌了
河西那家大鹏超市卖过期酸奶，我儿子吃了直吐 # - | 大鹏超市 | - | 我儿子 | 酸奶 | - # 大鹏超市卖过期酸奶
停电啦停电啦！芙蓉北路一带全黑，医院都在用发电机 # - | 芙蓉北路 | - | - | 医院 | - # 芙蓉北路停电
我的快递在朝晖站点放了五天，打电话说丢了，赔我八百块。 # - | 朝晖站点 | 五天 | - | 快递 | 赔我八百块 # 朝晖站点快递丢失
锦绣华天12栋1802装修把承重墙敲了，我家天花板都裂了，请马上叫停 # 锦绣华天12栋1802 | 锦绣华天 | - | - | 承重墙 | 马上叫停 # 锦绣华天承重墙被敲
有个女的站在湘雅路天桥外面哭，说不想活了，你们快点 # - | 湘雅路天桥 | - | 女的 | - | 快点 # 湘雅路天桥有人轻生
上个月修的那条水渠又垮了，双江口镇双江村六组三十亩田没水插秧。 # 双江口镇双江村六组 | 双江村 | 上个月 | - | 水渠 | - # 双江村水渠垮了
喂喂，是政府不 # - | - | - | - | - | - # 与城市事务无关
刚刚看到蛇钻进咱单元配电间了，青年公寓B座，谁来抓一下？ # 青年公寓B座 | 青年公寓 | 刚刚 | - | 蛇 | 抓一下 # 青年公寓蛇钻进配电间
社保断了两个月能不能补？我在A市上班。 # - | A市 | 两个月 | - | 社保 | - # 咨询社保补缴
There's a hole in the pavement outside 14 Marlow Crescent, my dad fell in it on Sunday. Please patch it. # 14 Marlow Crescent | Marlow Crescent | on Sunday | my dad | hole | patch it # Hole in pavement at Marlow Crescent
Our lift in Cedar House has been stuck since Thursday and a lady on the ninth floor is in a wheelchair. # - | Cedar House | since Thursday | a lady on the ninth floor | lift | - # Lift stuck at Cedar House
Water everywhere at the corner of Mill Lane and Dock Street, looks like the main went. # - | Mill Lane and Dock Street | - | - | main | - # Burst main at Mill Lane and Dock Street
garbage not collected for 3 weeks on Hobart Avenue, can you send a truck # - | Hobart Avenue | 3 weeks | - | garbage | send a truck # Garbage not collected at Hobart Avenue
hello i am student from Ghana, my landlord take deposit no return, flat is in Lakeview Apartments, please help me # - | Lakeview Apartments | - | - | deposit | help me # Deposit not returned at Lakeview Apartments
Somebody is screaming in the flat above mine, 27 Renmin Road, hurry! # 27 Renmin Road | Renmin Road | - | Somebody | - | hurry # Screaming at Renmin Road
The streetlamp by Harmony Park keeps going off around 8 pm. # - | Harmony Park | around 8 pm | - | streetlamp | - # Streetlamp off at Harmony Park
Thanks to the crew who cleared the snow so quickly this morning! # - | - | this morning | - | snow | - # Thanks for clearing snow
A tanker is leaking something on the ring road near Westgate Bridge, two drivers are coughing badly. # - | Westgate Bridge | - | two drivers | tanker | - # Tanker leaking at Westgate Bridge
Is the swimming pool open on public holidays? # - | - | public holidays | - | swimming pool | - # Question about swimming pool
I smell gas in the stairwell of 9 Juniper Close and the old couple downstairs won't open. # 9 Juniper Close | Juniper Close | - | the old couple downstairs | gas | - # Smell of gas at Juniper Close
Dogs without leash again at Sunrise Primary School, last week one bit a child, fine the owners # - | Sunrise Primary School | last week | a child | Dogs | fine the owners # Dogs without leash at Sunrise Primary School
"""

CHOOSE = """
厨房水龙头流出来的都是泥汤 # 供水：停水、水质、水压 | 排水：下水道堵塞、积水 | 燃气：漏气、停气 | 物业：收费、门禁 # 1
厨房水龙头流出来的都是泥汤 # 城管局：占道经营 | 水务集团：供水管网和水质 | 公交集团：班次线路 # 2
半夜对面吊车轰轰响，孩子吓哭好几回 # 噪音：施工、广场舞 | 道路：坑洼塌陷 | 养老：退休金 # 1
我摔进没盖的下水道口，腿缝了六针 # 教育：入学、补课 | 排水与井盖 | 治安：偷盗打架 | 税务：发票退税 # 2
十二号楼一对老夫妻在轿厢里关了快一小时 # 电梯困人、停运 | 停水停电 | 占道经营 | 树木倒伏 # 1
老板卷铺盖跑了，我们的血汗钱找谁要 # 消费维权 | 拖欠工资 | 宅基地纠纷 | 医院收费 # 2
楼下卖早点的把人行道全占了 # 环卫所：清运垃圾 | 城管中队：流动摊贩、占道经营 | 供电所：停电抢修 # 2
我办的瑜伽卡还剩四千，人去楼空 # 市场监管：预付卡、退款 | 公安户政：户口身份证 | 气象：大风冰雪 | 交警：违停 # 1
黄昏以后那条巷子伸手不见五指 # 路灯管理所：照明维修 | 园林中心：修剪树木 | 燃气公司：漏气抢险 # 1
隔壁天天拿机器磨石头，白灰落我一阳台 # 扬尘：粉尘、工地 | 社保：报销 | 公交：不停站 # 1
孩子户口在老家，城里学校不收 # 随迁子女入学 | 低保申请 | 公积金提取 | 违法建设 # 1
大树把电线压断了，整个村黑灯瞎火 # 水污染 | 停电与电力设施 | 培训机构退费 # 2
有人往楼下扔酒瓶，差点砸到推婴儿车的 # 高空抛物 | 停车收费 | 灌溉用水 # 1
这位司机师傅捡到我的包还送上门，太感谢了 # 表扬 | 投诉 | 咨询 | 建议 # 1
请问新生儿医保多久内要交 # 表扬 | 投诉 | 咨询 | 建议 # 3
要是河边能有几张长椅就好了 # 表扬 | 投诉 | 咨询 | 建议 # 4
邻居家装修把承重墙拆了 # 违建办：拆改承重墙、搭建 | 民政局：低保救助 | 文旅局：景区 | 农业局：种子 # 1
野狗追着放学的娃娃咬 # 犬只管理 | 燃气 | 户籍 | 税务 # 1
那片老房子下雨后墙鼓起来了，里面还住人 # 房屋安全：危房险情 | 公交：班次 | 通信：宽带 # 1
公交车门没关就开走，老太太甩了下来 # 公交集团：司机服务、班次 | 自来水公司 | 林业站 # 1
大棚让昨夜的雪压塌，菜全冻死了 # 农业：大棚受灾、种子 | 电梯：困人 | 工资：拖欠 # 1
村里喇叭六点就开始放戏 # 噪声扰民 | 食品安全 | 不动产登记 # 1
吃了路边那家凉皮，我们寝室四个人都在打点滴 # 食品安全：不洁、变质 | 供暖：不热 | 停车：违停 # 1
河里的鱼全翻了肚皮 # 河湖水污染 | 道路破损 | 政务服务 # 1
拆我家房说好的过渡费两年没给 # 征收办：补偿与安置 | 路灯所 | 教育局 | 疾控中心 # 1
冒充银行客服，骗走我妈养老钱 # 公安：诈骗盗窃 | 市政：路面 | 环卫：垃圾 # 1
Brown stuff comes out of our kitchen tap # water supply: taps, pressure | lifts: people stuck | parking # 1
the lamp in front of my house has been dark all week # Sanitation: bins | Street Lighting: lamps | Noise Control # 2
my husband is stuck between floors # lifts and elevators | buses | taxes # 1
someone left a mattress on our corner # waste: dumping, bins | traffic lights | schools # 1
sparks are flying from the wires over the alley # Power Company: wires | Water Company: pipes | Library # 1
our boss has not given us a cent since spring # unpaid wages | dog bites | street trees | building dust # 1
A van is across my gate and I can't get out # illegal parking | public toilets | gas leak # 1
when does the night bus start? # complaint | question | praise # 2
kudos to the nurse at ward five # complaint | question | praise # 3
drilling at midnight next door again # noise | river pollution | pension # 1
"""


def rows() -> list[dict]:
    """All rows; raises ValueError where a slot is not a substring."""
    out = []
    names = ("address", "place", "time", "people", "thing", "wish")
    for line in EXTRACT.strip().splitlines():
        text, slots, title = (x.strip() for x in line.split(" # "))
        values = {k: None if v.strip() == "-" else v.strip() for k, v in zip(names, slots.split(" | "), strict=True)}
        for value in values.values():
            if value is not None and value not in text:
                raise ValueError(f"{value!r} is not in {text!r}")
        out.append({"text": text, "slots": values, "title": title})
    for i, line in enumerate(CHOOSE.strip().splitlines()):
        text, options, right = (x.strip() for x in line.split(" # "))
        options = options.split(" | ")
        answer = int(right) - 1
        turn = i % len(options)
        out.append({"text": text, "options": options[turn:] + options[:turn], "answer": (answer - turn) % len(options)})
    return out


if __name__ == "__main__":
    path = Path(__file__).with_name("handwritten.jsonl")
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows()), "utf-8")
    print(f"{path.name}: {len(rows())} rows")
