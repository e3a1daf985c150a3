//! Common given and family names: a few hundred of each, picked for how often they are met in the United States.

/// Given names that mean nothing else.
pub(super) const FIRST: &str = "jane james robert john michael david william richard joseph thomas christopher charles daniel matthew anthony donald \
steven andrew paul joshua kenneth kevin brian timothy ronald jason george edward jeffrey ryan jacob gary \
nicholas eric jonathan stephen larry justin scott brandon benjamin samuel gregory alexander patrick raymond \
dennis jerry tyler aaron jose adam nathan henry zachary douglas peter kyle noah ethan jeremy walter keith roger \
terry sean gerald carl dylan harold jesse bryan lawrence arthur gabriel bruce billy joe alan juan elijah willie \
albert wayne randy vincent liam roy bobby caleb bradley russell lucas mary patricia jennifer linda elizabeth \
barbara susan jessica karen sarah lisa nancy sandra betty ashley emily kimberly margaret donna michelle carol \
amanda melissa deborah stephanie rebecca sharon laura cynthia dorothy amy kathleen angela shirley emma brenda \
pamela nicole anna samantha katherine christine debra rachel carolyn janet maria olivia heather helen catherine \
diane julie joyce lauren kelly christina ruth joan judith evelyn hannah andrea megan cheryl jacqueline teresa \
abigail sophia martha sara gloria janice kathryn ann isabella judy julia theresa denise natalie beverly marilyn \
brittany danielle kayla alexis doris tammy carlos luis miguel jorge pedro francisco antonio manuel ricardo \
fernando eduardo roberto rafael alejandro javier sergio diego andres raul ahmed mohammed muhammad ali omar \
hassan ibrahim fatima aisha khalid yusuf wei ming hiroshi yuki kenji priya raj anil sunil deepak sanjay anita \
kavita lakshmi ravi vijay arjun olga ivan dmitri sergei natasha boris svetlana hans klaus jürgen wolfgang ursula \
heike petra sabine dieter günther helga ingrid anders lars erik sven bjorn pierre jacques francois claude marie \
isabelle giovanni marco luca giulia francesca paolo carmen rosa lucia elena ana guadalupe juanita esperanza \
consuelo xavier ximena rodrigo gustavo hector oscar ruben martin leonard theodore philip clarence ernest howard \
leroy melvin stanley norman curtis allen marvin glenn vernon herbert edith ethel mildred gladys lillian irene \
bernice thelma lucille josephine eleanor agnes bertha geraldine wanda tamika latoya keisha jamal darnell tyrone \
demetrius aaliyah imani malik andre terrence marcus darius liam aiden jayden";

/// Given names that are words or places too: only with a family name.
pub(super) const FIRST_OR_WORD: &str = "grace rose hunter will mark may april june faith hope joy dawn summer autumn violet lily ivy daisy jade ruby \
pearl amber crystal destiny harmony melody chase grant dean drew miles rich bill bob rob art gene guy don ray \
glen clay cliff dale frank ford pat penny sandy robin angel christian norm pierce reed carter mason parker \
taylor morgan cameron jean sue nick jim tim tom ben dan sam max leo ken ron lee kim chris alex austin jordan \
madison victoria virginia charlotte logan jun jack eugene florence";

/// Family names that mean little else: with a capital before it, a name.
pub(super) const LAST: &str = "doe smith johnson williams jones garcia miller davis rodriguez martinez hernandez lopez gonzalez wilson anderson \
jackson martin perez thompson sanchez ramirez robinson torres nguyen nelson campbell mitchell roberts gomez \
phillips evans diaz edwards collins reyes stewart morris morales murphy rogers gutierrez ortiz peterson kelly \
howard ramos richardson watson brooks chavez bennett mendoza ruiz hughes alvarez castillo sanders patel myers \
jimenez russell sullivan henderson gonzales vasquez simmons romero patterson reynolds griffin wallace moreno \
hayes bryant herrera gibson tran medina aguilar castro owens harrison fernandez mcdonald kennedy vargas chen \
tucker guzman crawford olson simpson mendez silva snyder munoz hicks wagner robertson meyer schmidt garza \
daniels ferguson nichols stephens ryan dunn kelley hawkins pierce vazquez hansen santos elliott cunningham \
armstrong carroll riley alvarado delgado perkins hoffman johnston matthews pena richards contreras willis \
sandoval guerrero rios estrada ortega watkins nunez wheeler burke larson maldonado morrison carlson dominguez \
lawson jacobs obrien lynch singh montgomery jensen harvey williamson gilbert sims espinoza howell wong reid \
hanson mccoy garrett burton fuller wang weber welch rojas yang padilla walsh schultz fowler mejia khan kowalski \
novak müller schneider fischer becker schulz hofmann schäfer bauer richter schröder neumann schwarz zimmermann \
braun krüger hartmann werner krause lehmann yamamoto tanaka suzuki watanabe ito nakamura kobayashi ivanov petrov \
rossi russo ferrari esposito bianchi romano colombo dubois lefebvre okafor adeyemi mensah abdi hussain ahmed \
sharma gupta kumar mehta reddy iyer nair chowdhury rahman";

/// Family names that are words, places or given names too.
pub(super) const LAST_OR_WORD: &str = "brown thomas taylor moore lee white harris clark lewis walker young allen king wright scott hill flores green \
adams baker hall rivera carter turner parker cruz cook morgan cooper bailey reed kim cox ward wood james gray \
price long ross foster powell jenkins perry bell coleman butler barnes fisher jordan alexander hamilton graham \
west cole ellis stevens murray ford marshall woods washington wells henry freeman webb burns porter hunter \
gordon shaw mason dixon hunt holmes palmer black boyd rose stone salazar fox warren mills rice soto weaver \
gardner payne grant spencer arnold peters hart bradley knight duncan hudson lane andrews ray berry carpenter \
lawrence george chapman greene valdez harper santiago franklin austin carr vega bishop oliver dean li le lucas \
marquez fields park little banks day bowman luna koch klein wolf lange sato durand leroy moreau laurent simon \
michel";
